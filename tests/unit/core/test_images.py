import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from networks import one_sentence
from PIL import Image

from xai_widgets.core.images import check_baseline, to_images

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
EXPECTED = torch.from_numpy(COLOR.copy()).permute(2, 0, 1)[None].float() / 255
EXPECTED_GRAY = torch.from_numpy(GRAY.copy())[None, None].float().expand(1, 3, 6, 9) / 255
# A file left open and a read-only array handed to torch are warnings.
pytestmark = pytest.mark.filterwarnings("error")


def rgba(color, alpha):
    return np.dstack([color, np.full(color.shape[:2], alpha, np.uint8)])


def saved(tmp_path, image, name):
    image.save(tmp_path / name)
    return tmp_path / name


# -- every kind agrees ------------------------------------------------------------------------------------

KINDS_OF_COLOR = {
    "array uint8": lambda tmp: COLOR,
    "array float32": lambda tmp: (COLOR / 255).astype(np.float32),
    "array float64": lambda tmp: COLOR / 255,
    "array uint16": lambda tmp: COLOR.astype(np.uint16) * 257,
    "array big-endian": lambda tmp: COLOR.astype(">u2") * 257,
    "array big-endian float": lambda tmp: (COLOR / 255).astype(">f8"),
    "array of several": lambda tmp: COLOR[None],
    "array with opaque alpha": lambda tmp: rgba(COLOR, 255),
    "array not contiguous": lambda tmp: COLOR[::-1, ::-1].copy()[::-1, ::-1],
    "array read-only": lambda tmp: np.frombuffer(COLOR.tobytes(), np.uint8).reshape(COLOR.shape),
    "tensor CHW": lambda tmp: EXPECTED[0],
    "tensor NCHW": lambda tmp: EXPECTED,
    "tensor uint8": lambda tmp: torch.from_numpy(COLOR.copy()).permute(2, 0, 1),
    "tensor float64": lambda tmp: EXPECTED.double(),
    "tensor with gradient": lambda tmp: EXPECTED.clone().requires_grad_(),
    "PIL RGB": lambda tmp: Image.fromarray(COLOR),
    "PIL RGBA": lambda tmp: Image.fromarray(rgba(COLOR, 255)),
    "PIL read lazily": lambda tmp: Image.open(saved(tmp, Image.fromarray(COLOR), "a.png")),
    "path": lambda tmp: saved(tmp, Image.fromarray(COLOR), "a.png"),
    "path as text": lambda tmp: str(saved(tmp, Image.fromarray(COLOR), "a.png")),
    "list": lambda tmp: [COLOR],
    "tuple": lambda tmp: (Image.fromarray(COLOR),),
    "nested list": lambda tmp: [[EXPECTED]],
}
KINDS_OF_GREY = {
    "array HW": lambda tmp: GRAY,
    "array HW1": lambda tmp: GRAY[..., None],
    "array float": lambda tmp: GRAY / 255,
    "tensor 1HW": lambda tmp: torch.from_numpy(GRAY.copy())[None],
    "tensor N1HW": lambda tmp: torch.from_numpy(GRAY.copy())[None, None],
    "PIL L": lambda tmp: Image.fromarray(GRAY),
    "PIL LA": lambda tmp: Image.merge("LA", [Image.fromarray(GRAY), Image.new("L", (9, 6), 255)]),
    "PIL I;16": lambda tmp: Image.fromarray(GRAY.astype(np.uint16) * 257),
    "PIL I": lambda tmp: Image.fromarray(GRAY.astype(np.int32) * 257),
    "PIL F": lambda tmp: Image.fromarray((GRAY / 255).astype(np.float32)),
    "PIL P": lambda tmp: Image.fromarray(GRAY).convert("P"),
    "16-bit file": lambda tmp: saved(tmp, Image.fromarray(GRAY.astype(np.uint16) * 257), "a.png"),
}


@pytest.mark.parametrize("kind", KINDS_OF_COLOR)
def test_every_kind_of_color_image_agrees(kind, tmp_path):
    made = to_images(KINDS_OF_COLOR[kind](tmp_path))
    assert made.dtype == torch.float32
    assert not made.requires_grad
    torch.testing.assert_close(made, EXPECTED, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS_OF_GREY)
def test_every_kind_of_grey_image_agrees(kind, tmp_path):
    torch.testing.assert_close(to_images(KINDS_OF_GREY[kind](tmp_path)), EXPECTED_GRAY, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS_OF_GREY)
def test_grey_stays_grey_for_one_channel(kind, tmp_path):
    made = to_images(KINDS_OF_GREY[kind](tmp_path), channels=1)
    torch.testing.assert_close(made, EXPECTED_GRAY[:, :1], rtol=0, atol=1e-6)


def test_palette_and_booleans():
    palette = Image.fromarray(COLOR).quantize(54)
    torch.testing.assert_close(to_images(palette), to_images(palette.convert("RGB")))
    mask = GRAY > 127
    for given_mask in (mask, torch.from_numpy(mask)[None], Image.fromarray(mask)):
        assert torch.equal(to_images(given_mask, channels=1)[0, 0], torch.from_numpy(mask).float())


def test_color_becomes_the_luminance_of_pil():
    gray = torch.from_numpy(np.asarray(Image.fromarray(COLOR).convert("L")).copy()) / 255
    assert (to_images(COLOR, channels=1)[0, 0] - gray).abs().max() <= 1 / 255


@pytest.mark.parametrize("make", [np.asarray, Image.fromarray], ids=["array", "PIL"])
@given(alpha=st.integers(0, 255))
def test_transparency_is_laid_on_white(make, alpha):
    share = alpha / 255
    made = to_images(make(rgba(COLOR, alpha)))
    # PIL works in whole 255ths.
    assert (made - (EXPECTED * share + 1 - share)).abs().max() <= 1.01 / 255


def test_a_transparent_palette_is_laid_on_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    made = to_images(tmp_path / "a.png")
    assert made[0, :, 0, 0].tolist() == [0, 0, 1]
    assert made[0, :, 1:].eq(1).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_the_camera_was_held(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOR).save(tmp_path / "a.png", exif=exif)
    turned = {
        1: COLOR, 2: COLOR[:, ::-1], 3: COLOR[::-1, ::-1], 4: COLOR[::-1],
        5: COLOR.transpose(1, 0, 2), 6: np.rot90(COLOR, -1), 7: np.rot90(COLOR, 2).transpose(1, 0, 2),
        8: np.rot90(COLOR),
    }[orientation]  # fmt: skip
    for given_image in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        assert torch.equal(to_images(given_image), to_images(np.ascontiguousarray(turned)))


def test_a_list_keeps_its_order(tmp_path):
    made = to_images([COLOR, [GRAY, EXPECTED], saved(tmp_path, Image.fromarray(GRAY), "b.png")])
    torch.testing.assert_close(made, torch.cat([EXPECTED, EXPECTED_GRAY, EXPECTED, EXPECTED_GRAY]))


@given(hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.floats(0, 1, width=32)))
def test_tensors_in_range_pass_bit_for_bit(array):
    assert np.array_equal(to_images(torch.from_numpy(array)).numpy(), array)


def test_nothing_given_is_changed_or_shared():
    tensor, array = EXPECTED.clone() * 1.0005, COLOR / 255
    before = tensor.clone(), array.copy()
    to_images(tensor).zero_()
    to_images(array).zero_()
    same = EXPECTED.clone()
    to_images(same).zero_()
    assert torch.equal(tensor, before[0])
    assert np.array_equal(array, before[1])
    assert torch.equal(same, EXPECTED)


def test_rounding_outside_the_range_is_cut():
    made = to_images(torch.tensor([-5e-4, 0.5, 1.0005]).view(1, 1, 3))
    assert made[0, 0].tolist() == [[0, 0.5, 1]]


@pytest.mark.parametrize("default", [torch.float64, torch.float16])
def test_the_default_dtype_of_torch_does_not_matter(default):
    torch.set_default_dtype(default)
    try:
        assert to_images(COLOR, channels=1, size=(4, 4)).dtype == torch.float32
        assert to_images(EXPECTED.float(), channels=1).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


# -- sizes ------------------------------------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    value=st.floats(0, 1, width=32),
)
def test_images_are_resized_to_the_given_size(shape, size, value):
    made = to_images(np.full((*shape, 3), value, np.float32), size=size)
    assert made.shape == (1, 3, *size)
    torch.testing.assert_close(made, torch.full_like(made, value))


def test_the_image_covers_the_size_and_its_center_is_cropped():
    # Three squares side by side; only the middle one fits.
    strip = np.zeros((8, 24, 3), np.uint8)
    strip[:, 8:16] = 255
    assert to_images(strip, size=(8, 8)).eq(1).all()
    assert to_images(strip.transpose(1, 0, 2).copy(), size=(8, 8)).eq(1).all()


def test_scaling_down_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = to_images(stripes, size=(16, 16))[..., 2:-2]
    assert (inner - 0.5).abs().max() < 0.05


def test_an_image_of_the_right_size_is_not_changed():
    assert torch.equal(to_images(COLOR, size=(6, 9)), EXPECTED)


def test_tensors_keep_their_size():
    assert to_images(EXPECTED, size=(4, 4)).shape == EXPECTED.shape


def test_images_of_many_sizes_make_one_batch():
    many = [COLOR, Image.new("L", (30, 20)), RNG.random((50, 10, 4))]
    assert to_images(many, size=(5, 7)).shape == (3, 3, 5, 7)


# -- refusals ---------------------------------------------------------------------------------------------

NAN = EXPECTED.clone()
NAN[0, 1, 2, 3] = float("nan")
REFUSED = {
    "empty list": ([], ValueError, "empty"),
    "nested empty list": ([[]], ValueError, "empty"),
    "empty batch tensor": (torch.zeros(0, 3, 4, 4), ValueError, "empty"),
    "empty batch array": (np.zeros((0, 4, 4, 3)), ValueError, "empty"),
    "no pixels": (torch.zeros(1, 3, 0, 4), ValueError, r"\(1, 3, 0, 4\)"),
    "array without pixels": (np.zeros((0, 4, 3)), ValueError, r"\(0, 4, 3\)"),
    "PIL without pixels": (Image.new("RGB", (0, 4)), ValueError, r"\(4, 0, 3\)"),
    "channels last tensor": (torch.zeros(1, 6, 9, 3), ValueError, "channels come first"),
    "channels first array": (np.zeros((3, 6, 9)), ValueError, "channels come last"),
    "two channels": (torch.zeros(2, 6, 9), ValueError, r"\(2, 6, 9\)"),
    "two channels array": (np.zeros((6, 9, 2)), ValueError, r"\(6, 9, 2\)"),
    "flat": (torch.zeros(10), ValueError, r"\(10,\)"),
    "flat array": (np.zeros(10), ValueError, r"\(10,\)"),
    "number as array": (np.zeros(()), ValueError, r"\(\)"),
    "5 dimensions": (torch.zeros(1, 1, 3, 4, 4), ValueError, r"\(1, 1, 3, 4, 4\)"),
    "nan": (NAN, ValueError, "NaN"),
    "inf": (np.full((4, 4, 3), np.inf), ValueError, "NaN or infinite"),
    "nested": (torch.nested.nested_tensor([torch.zeros(3, 4, 4)]), TypeError, "a nested tensor"),
    "sparse": (torch.zeros(3, 4, 4).to_sparse(), TypeError, "a sparse tensor"),
    "meta": (torch.zeros(3, 4, 4, device="meta"), TypeError, "a meta tensor"),
    "long path": ("a" * 5000, FileNotFoundError, "which is not a file"),
    "path with a null byte": ("a\0b.png", FileNotFoundError, "which is not a file"),
    "huge": (np.full((4, 4, 3), 1e300), ValueError, "NaN or infinite"),
    "0 to 255 floats": (COLOR.astype(np.float32), ValueError, "divide by 255"),
    "0 to 255 PIL floats": (Image.fromarray(GRAY.astype(np.float32)), ValueError, "divide by 255"),
    "normalized": ((EXPECTED - 0.45) / 0.22, ValueError, "normalization is part of the model"),
    "integers": (torch.zeros(3, 4, 4, dtype=torch.int64), ValueError, "torch.int64"),
    "integer array": (np.zeros((4, 4, 3), np.int32), ValueError, "int32"),
    "complex": (torch.zeros(3, 4, 4, dtype=torch.complex64), ValueError, "torch.complex64"),
    "objects": (np.full((4, 4), None), ValueError, "object"),
    "text array": (np.full((4, 4), "x"), ValueError, "<U1"),
    "unequal sizes": ([COLOR, COLOR[:5]], ValueError, r"\(5, 9\) and \(6, 9\)"),
    "none": (None, TypeError, "expected a PIL image, .*, got None"),
    "number": (3, TypeError, "expected a PIL image, .*, got 3"),
    "bytes": (b"png", TypeError, "got b'png'"),
    "dict": ({"image": COLOR}, TypeError, "dict"),
    "list of numbers": ([[1.0, 0.0]], TypeError, "got 1.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused_in_one_sentence(case):
    given_images, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as error:
        to_images(given_images)
    assert one_sentence(error).startswith("expected")


def test_a_file_that_is_not_there_is_named_with_the_nearest(tmp_path):
    saved(tmp_path, Image.fromarray(COLOR), "kitten.png")
    with pytest.raises(FileNotFoundError, match=r"kiten\.png.*did you mean 'kitten\.png'") as error:
        to_images(tmp_path / "kiten.png")
    one_sentence(error)
    with pytest.raises(FileNotFoundError, match="expected the path of an image") as error:
        to_images(tmp_path / "no_folder" / "a.png")
    one_sentence(error)
    with pytest.raises(FileNotFoundError, match=str(tmp_path)) as error:
        to_images(tmp_path)
    assert "did you mean" not in one_sentence(error)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"expected a readable image file such as PNG or JPEG, got 'notes\.png'"
    ) as error:
        to_images(tmp_path / "notes.png")
    one_sentence(error)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_cut_short_is_named(suffix, tmp_path):
    whole = saved(tmp_path, Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), f"a.{suffix}")
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with Image.open(cut) as lazy:
        for given_image in (cut, str(cut), lazy):
            with pytest.raises(
                ValueError, match=f"expected a complete image file, got 'cut.{suffix}"
            ) as error:
                to_images(given_image)
            one_sentence(error)


# -- baselines --------------------------------------------------------------------------------------------

GREY_LEVEL = 128 / 255
X = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
BASELINES = {
    "float": GREY_LEVEL,
    "np.float32": np.float32(GREY_LEVEL),
    "np.float64": np.float64(GREY_LEVEL),
    "tensor number": torch.tensor(GREY_LEVEL),
    "array of one": np.array([GREY_LEVEL]),
    "uint8 array": np.full((6, 9, 3), 128, np.uint8),
    "uint8 gray array": np.full((6, 9), 128, np.uint8),
    "uint8 array of another size": np.full((20, 30, 3), 128, np.uint8),
    "uint16 array": np.full((6, 9), 128 * 257, np.uint16),
    "float array": np.full((6, 9, 3), GREY_LEVEL),
    "uint8 tensor": torch.full((3, 6, 9), 128, dtype=torch.uint8),
    "float tensor": torch.full((3, 6, 9), GREY_LEVEL),
    "half tensor": torch.full((2, 3, 6, 9), GREY_LEVEL, dtype=torch.float64),
    "gray tensor": torch.full((1, 6, 9), GREY_LEVEL),
    "flat tensor": torch.full((6, 9), GREY_LEVEL),
    "color": torch.full((3, 1, 1), GREY_LEVEL),
    "one for each": torch.full((2, 1, 1, 1), GREY_LEVEL),
    "PIL": Image.new("RGB", (9, 6), (128, 128, 128)),
    "list": [Image.new("L", (9, 6), 128), np.full((6, 9, 3), 128, np.uint8)],
}


@pytest.mark.parametrize("kind", BASELINES)
def test_a_baseline_of_any_kind_is_the_same_gray(kind):
    made = check_baseline(BASELINES[kind], X)
    assert made.shape == X.shape
    assert made.dtype == X.dtype
    assert (made - GREY_LEVEL).abs().max() <= 2 * torch.finfo(torch.float32).eps


def test_a_baseline_may_be_a_path(tmp_path):
    Image.new("RGB", (9, 6), (128, 128, 128)).save(tmp_path / "gray.png")
    for path in (tmp_path / "gray.png", str(tmp_path / "gray.png")):
        assert torch.equal(check_baseline(path, X), check_baseline(BASELINES["uint8 array"], X))


@pytest.mark.parametrize(
    ("baseline", "kind", "message"),
    [
        (128, ValueError, "expected fill to be a number from 0 to 1, got 128"),
        (np.float32(128), ValueError, "expected fill to be a number from 0 to 1, got 128.0"),
        (np.uint8(128), ValueError, "got 128"),
        (torch.tensor(128.0), ValueError, "got a tensor of shape"),
        (float("nan"), ValueError, "got nan"),
        (np.full((6, 9, 3), 128.0), ValueError, "divide by 255"),
        (torch.full((3, 6, 9), 128.0), ValueError, "divide by 255"),
        (torch.full((3, 6, 9), -1.0), ValueError, "expected image pixels as floats in"),
        (torch.full((3, 6, 9), float("nan")), ValueError, "NaN"),
        (torch.full((3, 6, 9), 128), ValueError, "torch.int64"),
        (torch.zeros(3, 5, 9), ValueError, r"expected fill of a shape that fits the images"),
        (torch.zeros(3, 3, 6, 9), ValueError, r"expected fill of a shape that fits the images"),
        (torch.zeros(3, 6, 9).to_sparse(), TypeError, "sparse"),
        ("black", TypeError, "'black', which is not a file"),
        (None, TypeError, "got None"),
        (True, TypeError, "got True"),
        ([0.5, 0.5, 0.5], TypeError, "got 0.5"),
    ],
)
def test_what_is_no_baseline_is_refused_in_one_sentence(baseline, kind, message):
    with pytest.raises(kind, match=message) as error:
        check_baseline(baseline, X, "fill")
    assert "fill" in one_sentence(error)


def test_of_a_very_long_image_the_middle_is_taken_quickly():
    image = np.zeros((4, 200_000, 3), np.uint8)
    image[:, 99_990:100_010] = 255
    made = to_images(image, size=(64, 64))
    assert made.shape == (1, 3, 64, 64)
    assert made.min() == 1
    tall = np.zeros((1001, 5), np.float32)
    tall[500] = 1
    assert to_images(tall, size=(5, 5))[0, 0, 2].min() == 1
