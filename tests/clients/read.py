"""`python read.py READER …`: a public reader of what our client writes. Prints JSON."""

import json
import sys
from pathlib import Path


def to_supervision(url, picture):
    """`Result.to_supervision`, as rows of label, score, class and box."""
    from detect_client import Client

    with Client(url) as client:
        found = client.detect(picture).to_supervision()
        nothing = client.detect(picture, score_threshold=1).to_supervision()
    assert len(nothing) == 0
    names, scores = found.data["class_name"].tolist(), found.confidence.tolist()
    rows = zip(names, scores, found.class_id.tolist(), found.xyxy.tolist(), strict=True)
    return [list(row) for row in rows]


def yolo(pictures, labels):
    """supervision's data set: picture -> rows of label and box in pixels."""
    from supervision import DetectionDataset

    data = DetectionDataset.from_yolo(pictures, labels, f"{labels}/data.yaml")
    return {
        Path(path).name: [
            [data.classes[number], box]
            for number, box in zip(found.class_id.tolist(), found.xyxy.tolist(), strict=True)
        ]
        for path, found in data.annotations.items()
    }


def label_studio(tasks, config):
    """Label Studio's own checks of tasks against a labelling configuration: what is wrong."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(Path(config).read_text())
    wrong = []
    for task in json.loads(Path(tasks).read_text()):
        if not interface.validate_task({"data": task["data"]}):
            wrong.append(f"task {task['data']}")
        for prediction in task["predictions"]:
            wrong += interface.validate_prediction(prediction, return_errors=True)
    return wrong


def label_studio_to_coco(tasks, config, folder):
    """Label Studio's own export of the tasks, its predictions taken as annotations, to COCO."""
    from label_studio_sdk.converter import Converter

    content = json.loads(Path(tasks).read_text())
    for number, task in enumerate(content):
        task |= {"id": number, "annotations": [task.pop("predictions")[0] | {"id": number}]}
    source = Path(folder) / "annotated.json"
    source.write_text(json.dumps(content))
    Converter(config, project_dir=None, download_resources=False).convert_to_coco(
        str(source), folder, is_dir=False
    )
    return json.loads((Path(folder) / "result.json").read_text())


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
