"""What a CSV says of images."""

from pathlib import Path

import pytest
from PIL import Image

from exploration.layouts.images import find
from exploration.layouts.tables import from_csv


@pytest.fixture
def look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d/images").mkdir(parents=True)
    for number in range(12):
        Image.new("L", (8, 8)).save(f"d/images/p{number:02d}.png")

    def read(header, row, task=None):
        lines = [header, *(row(number) for number in range(12) for _ in range(1))]
        Path("d/t.csv").write_text("\n".join(text for line in lines for text in line.split(";;")) + "\n")
        return from_csv("d/t.csv", find("d/images/*.png", None, "d/t.csv"), task)

    return read


def test_one_class(look):
    found = look("id,label,age", lambda n: f"p{n:02d},{['cat', 'dog'][n % 2]},{n}")
    assert (found.task, found.classes) == ("label", ["cat", "dog"])
    assert found.submission.init_args == {"classes": ["cat", "dog"], "id_column": "id", "value_column": "label"}
    numbers = look("name,Target", lambda n: f"p{n:02d}.png,{n % 11}")
    assert numbers.classes == [str(n) for n in range(11)]
    assert numbers.submission.init_args["suffix"] == ".png"


def test_several_classes(look):
    found = look("id,tags", lambda n: f"p{n:02d},{'a b' if n % 2 else 'b c' if n % 3 else 'c'}")
    assert (found.task, found.classes) == ("multi", ["a", "b", "c"])
    found = look("id,x,y", lambda n: f"p{n:02d},{n % 2},{int(n % 3 == 0)}")
    assert (found.task, found.classes) == ("multi", ["x", "y"])
    assert found.submission.class_path == "submissions.ClassColumns"


def test_numbers(look):
    found = look("id,weight", lambda n: f"p{n:02d},{n / 7:.3f}")
    assert (found.task, found.submission) == ("number", None)
    assert look("id,weight", lambda n: f"p{n:02d},{n}", "number").task == "number"


def test_run_lengths(look):
    found = look("ImageId,EncodedPixels", lambda n: f"p{n:02d},{'1 3 9 2' if n % 2 else ''}")
    assert (found.task, found.submission.class_path) == ("mask", "submissions.RunLengths")
    found = look("ImageId,EncodedPixels", lambda n: f"p{n:02d},1 3;;p{n:02d},9 2")
    assert (found.task, found.targets[0].init_args["instances"]) == ("instances", True)


def test_boxes(look):
    found = look("image,xmin,ymin,xmax,ymax,class", lambda n: f"p{n:02d},1,1,4,5,{'ab'[n % 2]}")
    assert (found.task, found.classes) == ("boxes", ["a", "b"])
    assert found.targets[0].init_args["class_column"] == "class"
    found = look("image,x,y,width,height", lambda n: f"p{n:02d},1,1,4,5")
    assert (found.task, found.targets[0].init_args["layout"], found.classes) == ("boxes", "xywh", ["object"])


def test_tables_of_something_else_are_refused(look):
    with pytest.raises(ValueError, match=r"no column of \['id', 'label'\] names the images p00, p01, p02"):
        look("id,label", lambda n: f"q{n},a")
    with pytest.raises(ValueError, match="has labels: each has one value"):
        look("id,label", lambda n: f"p{n:02d},a")
