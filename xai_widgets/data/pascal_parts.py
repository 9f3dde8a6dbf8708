"""The vocabulary of PASCAL-Part (Chen et al. 2014): the parts of each class of PASCAL VOC, and their names."""

from __future__ import annotations

_FACE = ("head", "leye", "reye", "lear", "rear")
_VEHICLE = (
    "frontside", "leftside", "rightside", "backside", "roofside", "leftmirror", "rightmirror", "fliplate", "bliplate",
    "door", "wheel", "headlight", "window",
)  # fmt: skip
_PAWED = (
    *_FACE,
    "nose",
    "torso",
    "neck",
    "lfleg",
    "lfpa",
    "rfleg",
    "rfpa",
    "lbleg",
    "lbpa",
    "rbleg",
    "rbpa",
    "tail",
)
_GRAZING = (
    *_FACE, "muzzle", "torso", "neck", "lfuleg", "lflleg", "rfuleg", "rflleg", "lbuleg", "lblleg", "rbuleg", "rblleg",
    "tail",
)  # fmt: skip

#: Class -> codes of its parts; the other classes have none.
PARTS: dict[str, tuple[str, ...]] = {
    "aeroplane": ("body", "stern", "lwing", "rwing", "tail", "engine", "wheel"),
    "bicycle": ("fwheel", "bwheel", "saddle", "handlebar", "chainwheel", "headlight"),
    "bird": (
        "head", "leye", "reye", "beak", "torso", "neck", "lwing", "rwing", "lleg", "lfoot", "rleg", "rfoot", "tail",
    ),
    "bottle": ("cap", "body"),
    "bus": _VEHICLE,
    "car": _VEHICLE,
    "cat": _PAWED,
    "cow": (*_GRAZING, "lhorn", "rhorn"),
    "dog": (*_PAWED, "muzzle"),
    "horse": (*_GRAZING, "lfho", "rfho", "lbho", "rbho"),
    "motorbike": ("fwheel", "bwheel", "handlebar", "saddle", "headlight"),
    "person": (
        *_FACE, "lebrow", "rebrow", "nose", "mouth", "hair", "torso", "neck", "llarm", "luarm", "lhand", "rlarm",
        "ruarm", "rhand", "llleg", "luleg", "lfoot", "rlleg", "ruleg", "rfoot",
    ),
    "pottedplant": ("pot", "plant"),
    "sheep": (*_GRAZING, "lhorn", "rhorn"),
    "train": (
        "head", "hfrontside", "hleftside", "hrightside", "hbackside", "hroofside", "headlight", "coach", "cfrontside",
        "cleftside", "crightside", "cbackside", "croofside",
    ),
    "tvmonitor": ("screen",),
}  # fmt: skip

_SIDES = {"l": "left", "r": "right"}
_ENDS = {"f": "front", "b": "back"}
_LEGS = {"uleg": "upper leg", "lleg": "lower leg", "leg": "leg", "pa": "paw", "ho": "hoof"}
_LIMBS = {
    "eye": "eye", "ear": "ear", "ebrow": "eyebrow", "horn": "horn", "wing": "wing", "foot": "foot", "hand": "hand",
    "uarm": "upper arm", "larm": "lower arm", "uleg": "upper leg", "lleg": "lower leg", "leg": "leg",
}  # fmt: skip
_FACES = ("front", "left", "right", "back", "roof")

#: Code of a part -> its name, where they differ.
PART_NAMES: dict[str, str] = {
    "fwheel": "front wheel",
    "bwheel": "back wheel",
    "chainwheel": "chain wheel",
    "fliplate": "front license plate",
    "bliplate": "back license plate",
    **{f"{side}mirror": f"{side} mirror" for side in ("left", "right")},
    **{f"{face}side": f"{face} side" for face in _FACES},
    **{f"h{face}side": f"head {face} side" for face in _FACES},
    **{f"c{face}side": f"coach {face} side" for face in _FACES},
    **{s + limb: f"{side} {name}" for s, side in _SIDES.items() for limb, name in _LIMBS.items()},
    **{
        s + e + leg: f"{side} {end} {name}"
        for s, side in _SIDES.items()
        for e, end in _ENDS.items()
        for leg, name in _LEGS.items()
    },
}
