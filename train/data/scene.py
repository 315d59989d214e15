"""The 3D Shapes room as analytic ray casting: a square room, one object, one lamp.

Constants are our own least-squares fit to published 3D Shapes frames. Lengths are in units in which the
camera stands 4 from the object's axis. Room frame: the object's axis is x = y = 0, the floor is z = 0, y
points to the back wall. A three-vector is a `Vec` of equally shaped arrays rather than an array with an axis
of three, so that XLA fuses a whole frame into one elementwise loop.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

SKY, FLOOR, BACK_WALL, LEFT_WALL, RIGHT_WALL, CUBE, CYLINDER, SPHERE, CAPSULE, SHADOW = range(10)

ROOM_HALF_WIDTH, WALL_HEIGHT = 4.91, 2.80
CAMERA_DISTANCE, CAMERA_HEIGHT, CAMERA_PITCH = 4.0, 1.268, 0.0305  # the pitch is downwards, in radians
FOCAL_LENGTH, PRINCIPAL_COLUMN, PRINCIPAL_ROW = 73.06, 32.35, 32.0  # pixels of a 64-pixel image

# One entry per shape: cube, cylinder, sphere, capsule, at scale 1.
RADIUS = (0.529, 0.620, 0.654, 0.490)  # half edge of the cube
HALF_HEIGHT = (0.529, 0.618, 0.0, 0.508)  # of the part between the round ends, where there are any
CENTRE_HEIGHT = (0.529, 0.618, 0.654, 0.998)

AMBIENT, HEADLIGHT, LAMP = 0.353, 0.579, 0.951
LAMP_POSITION, LAMP_AXIS, LAMP_EXPONENT = (-2.83, -0.57, 13.85), (0.044, 0.087, -1.0), 17
SPECULAR, SPECULAR_START, SPECULAR_WIDTH = 30 / 255, 0.55, 0.12

Scalar = float | Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Vec:
    """A three-vector per ray: three arrays of one shape, or scalars."""

    x: Float[Array, "..."]
    y: Float[Array, "..."]
    z: Float[Array, "..."]

    @classmethod
    def of(cls, x: Scalar, y: Scalar, z: Scalar) -> "Vec":
        """The vector of three numbers."""
        return cls(jnp.float32(x), jnp.float32(y), jnp.float32(z))

    def __add__(self, other: "Vec") -> "Vec":
        return Vec(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other: "Vec") -> "Vec":
        return Vec(self.x - other.x, self.y - other.y, self.z - other.z)

    def __mul__(self, factor) -> "Vec":
        return Vec(self.x * factor, self.y * factor, self.z * factor)

    def dot(self, other: "Vec") -> Float[Array, "..."]:
        """The inner product."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def unit(self) -> "Vec":
        """The vector divided by its length."""
        return self * jax.lax.rsqrt(self.dot(self))

    def turn(self, cosine: Scalar, sine: Scalar) -> "Vec":
        """The vector turned about the vertical axis, from x towards y."""
        return Vec(cosine * self.x - sine * self.y, sine * self.x + cosine * self.y, self.z)


class Body(NamedTuple):
    """The object on the floor: scalars of one image."""

    shape: Int[Array, ""]
    radius: Float[Array, ""]
    half_height: Float[Array, ""]
    centre: Float[Array, ""]


class Camera(NamedTuple):
    """A viewpoint in the room frame."""

    position: Vec
    forward: Vec
    rays: Vec


class Hit(NamedTuple):
    """What each ray meets first: its label (`SKY` to `SHADOW`), the point and its outward unit normal."""

    label: Int[Array, "..."]
    point: Vec
    normal: Vec


def make_body(shape: Int[Array, ""], size: Float[Array, ""]) -> Body:
    """The object of one image.

    Args:
      shape: 0 cube, 1 cylinder, 2 sphere, 3 capsule.
      size: multiplier of all lengths.
    """
    lengths = (jnp.array(table, jnp.float32)[shape] * size for table in (RADIUS, HALF_HEIGHT, CENTRE_HEIGHT))
    return Body(shape, *lengths)


def make_camera(angle: Float[Array, ""], rows: Float[Array, "..."], columns: Float[Array, "..."]) -> Camera:
    """The camera on its orbit and one ray per image position.

    Args:
      angle: radians about the object's axis; 0 faces the back wall, positive shows the left corner.
      rows, columns: image positions in pixels, 0.5 being the centre of the first pixel.
    """
    across, up = (columns - PRINCIPAL_COLUMN) / FOCAL_LENGTH, (PRINCIPAL_ROW - rows) / FOCAL_LENGTH
    level, tilt = jnp.cos(CAMERA_PITCH), jnp.sin(CAMERA_PITCH)
    rays = Vec(across, level + up * tilt, up * level - tilt)
    position, forward = Vec.of(0, -CAMERA_DISTANCE, CAMERA_HEIGHT), Vec.of(0, level, -tilt)
    return Camera(*(v.turn(jnp.cos(angle), jnp.sin(angle)) for v in (position, forward, rays)))


def _away_from_zero(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(jnp.abs(x) < 1e-7, 1e-7, x)


def _slab(origin, direction, half_width):
    """Where the ray's coordinate enters and leaves [-half_width, half_width], as multiples of `direction`."""
    inverse = 1 / _away_from_zero(direction)
    middle, reach = -origin * inverse, jnp.abs(half_width * inverse)
    return middle - reach, middle + reach


def _meet(
    origin: Vec, ray: Vec, body: Body
) -> tuple[Bool[Array, "..."], Float[Array, "..."], Bool[Array, "..."]]:
    """Whether a ray meets the body, where (as a multiple of `ray`), and whether on a flat end.

    All four shapes share three intersections: with the upright infinite cylinder, with the slab between the
    flat ends, and with the sphere at the clamped entry height, which is the end of a capsule (a sphere is one
    without a straight part). Only hits ahead occur: the body is in front of the camera, and above the floor
    for rays that climb from it.
    """
    origin = Vec(origin.x, origin.y, origin.z - body.centre)
    a = jnp.maximum(ray.x**2 + ray.y**2, 1e-12)
    b = origin.x * ray.x + origin.y * ray.y
    c = origin.x**2 + origin.y**2 - body.radius**2
    square = b**2 - a * c
    root = jnp.sqrt(jnp.maximum(square, 0.0))
    side, side_exit = (-b - root) / a, (-b + root) / a

    (x_in, x_out), (y_in, y_out) = (
        _slab(o, d, body.radius) for o, d in ((origin.x, ray.x), (origin.y, ray.y))
    )
    z_in, z_out = _slab(origin.z, ray.z, body.half_height)
    is_cube = body.shape == 0
    across_in = jnp.where(is_cube, jnp.maximum(x_in, y_in), side)
    across_out = jnp.where(is_cube, jnp.minimum(x_out, y_out), side_exit)
    flat, flat_out = jnp.maximum(across_in, z_in), jnp.minimum(across_out, z_out)

    entry = origin.z + side * ray.z
    end = jnp.clip(entry, -body.half_height, body.half_height)
    above = origin.z - end
    a3, b3, c3 = a + ray.z**2, b + above * ray.z, c + above**2
    square3 = b3**2 - a3 * c3
    cap = (-b3 - jnp.sqrt(jnp.maximum(square3, 0.0))) / a3
    on_side = entry == end
    rounded = jnp.where(on_side, side, cap)

    is_round = body.shape >= 2
    meets = jnp.where(is_round, jnp.where(on_side, square, square3) > 0, (flat < flat_out))
    meets &= is_cube | (square > 0)
    return meets, jnp.where(is_round, rounded, flat), z_in > across_in


def _body_normal(point: Vec, on_end: Bool[Array, "..."], body: Body) -> Vec:
    """The outward unit normal at a point of the body's surface."""
    up = point.z - body.centre
    x, y = point.x / body.radius, point.y / body.radius
    x_face = jnp.abs(x) > jnp.abs(y)
    is_cube = body.shape == 0
    x, y = (
        jnp.where(is_cube, jnp.where(x_face, jnp.sign(x), 0.0), x),
        jnp.where(is_cube, jnp.where(x_face, 0.0, jnp.sign(y)), y),
    )
    beyond = (up - jnp.clip(up, -body.half_height, body.half_height)) / body.radius
    flat_end = on_end & (body.shape < 2)
    z = jnp.where(body.shape >= 2, beyond, jnp.where(flat_end, jnp.sign(up), 0.0))
    return Vec(jnp.where(flat_end, 0.0, x), jnp.where(flat_end, 0.0, y), z)


def cast(camera: Camera, body: Body) -> Hit:
    """Follow every ray of the camera to the first surface.

    A floor point from which the body hides the lamp is labelled `SHADOW`. The body never shades a wall (the
    lamp is high) nor, being convex, a side of itself that faces the lamp.
    """
    eye, ray = camera.position, camera.rays
    exits = [
        (jnp.sign(d) * ROOM_HALF_WIDTH - o) / _away_from_zero(d) for o, d in ((eye.x, ray.x), (eye.y, ray.y))
    ]
    on_x_wall, wall = exits[0] < exits[1], jnp.minimum(*exits)
    height = eye.z + wall * ray.z
    on_floor = height < 0
    on_body, distance, on_end = _meet(eye, ray, body)
    floor = -eye.z / _away_from_zero(ray.z)
    point = eye + ray * jnp.where(on_body, distance, jnp.where(on_floor, floor, wall))

    in_shadow, _, _ = _meet(point, Vec.of(*LAMP_POSITION) - point, body)
    wall_label = jnp.where(on_x_wall, jnp.where(ray.x < 0, LEFT_WALL, RIGHT_WALL), BACK_WALL)
    label = jnp.where(height > WALL_HEIGHT, SKY, wall_label)
    label = jnp.where(on_floor, jnp.where(in_shadow, SHADOW, FLOOR), label)
    label = jnp.where(on_body, CUBE + body.shape, label)

    on_wall = ~on_floor
    room = Vec(
        jnp.where(on_wall & on_x_wall, -jnp.sign(ray.x), 0.0),
        jnp.where(on_wall & ~on_x_wall, -1.0, 0.0),
        jnp.where(on_floor, 1.0, 0.0),
    )
    normal = jax.tree.map(lambda b, r: jnp.where(on_body, b, r), _body_normal(point, on_end, body), room)
    return Hit(label, point, normal)


def shade(hit: Hit, forward: Vec) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The light at each hit: a gain that multiplies the surface's colour, and white light added to it.

    Ambient light, a headlight along the camera's axis, a spot lamp fixed in the room, and a highlight of the
    lamp on rounded bodies.
    """
    to_lamp = (Vec.of(*LAMP_POSITION) - hit.point).unit()
    facing = hit.normal.dot(to_lamp)
    spread = jnp.maximum(-to_lamp.dot(Vec.of(*LAMP_AXIS).unit()), 0.0) ** LAMP_EXPONENT
    lamp = jnp.where(hit.label == SHADOW, 0.0, LAMP * jnp.maximum(facing, 0.0) * spread)
    gain = AMBIENT + HEADLIGHT * jnp.maximum(-hit.normal.dot(forward), 0.0) + lamp
    glossy = (hit.label >= CYLINDER) & (hit.label <= CAPSULE)
    highlight = SPECULAR * jnp.clip((facing - SPECULAR_START) / SPECULAR_WIDTH, 0.0, 1.0)
    return gain, jnp.where(glossy, highlight, 0.0)
