"""The page in a real browser, in front of the real gateway."""

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from selenium.webdriver.common.by import By

from tests.service.web.page import HOSTILE, boxes, rows, set_threshold, text, upload
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import ROOT


def test_a_photo_gets_its_boxes_and_rows(page: Any, photo: Path) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    assert rows(page)[0] == "person 0.90 40, 30 \N{EN DASH} 200, 220"
    assert text(page, "count") == "3 objects"
    assert "320 \N{MULTIPLICATION SIGN} 240 pixels" in text(page, "status")
    assert "model" in text(page, "timings")
    # The box lies over the picture where the detection is.
    where = page.execute_script(
        "const r = e => document.querySelector(e).getBoundingClientRect();"
        "const [p, b] = [r('#photo'), r('#overlay g:last-child rect')];"
        "return [(b.left - p.left) / p.width, (b.top - p.top) / p.height, b.width / p.width]"
    )
    assert where == pytest.approx([40 / 320, 30 / 240, 160 / 320], abs=0.015)


@pytest.mark.parametrize(("event", "name"), [("drop", "a.jpg"), ("paste", "pasted.png")])
def test_a_picture_is_dropped_or_pasted(page: Any, event: str, name: str) -> None:
    page.execute_script(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const data = new DataTransfer();"
        "data.items.add(new File([bytes], arguments[1], { type: 'image/jpeg' }));"
        "document.body.dispatchEvent(arguments[2] === 'drop'"
        " ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })"
        " : new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));",
        *(base64.b64encode(picture(320, 240)).decode(), name, event),
    )
    wait_for(lambda: boxes(page) == 3)
    assert text(page, "status").startswith(name)


def test_threshold_and_labels_filter_without_another_request(
    page: Any, photo: Path, backend: FakeBackend
) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    asked = len(backend.pictures)
    set_threshold(page, 0.05)
    assert boxes(page) == 4
    set_threshold(page, 0.5)
    assert boxes(page) == len(rows(page)) == 2
    assert text(page, "threshold-value") == "0.50"
    set_threshold(page, 0.25)
    person = page.find_element(By.CSS_SELECTOR, "#labels button")
    assert person.text == "person 2"
    person.click()
    assert boxes(page) == 1
    page.find_element(By.CSS_SELECTOR, "#labels button").click()
    assert boxes(page) == 3
    assert len(backend.pictures) == asked


def test_a_models_label_is_never_html(page: Any, photo: Path) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    assert any(HOSTILE in row for row in rows(page))
    assert page.title == "Object detection"
    assert not page.find_elements(By.CSS_SELECTOR, "#rows img, #labels img")


def test_focusing_a_row_highlights_its_box(page: Any, photo: Path) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    page.execute_script("document.querySelectorAll('#rows tr')[1].focus()")
    lit = page.find_elements(By.CSS_SELECTOR, "#overlay g.lit")
    assert [group.get_attribute("data-index") for group in lit] == ["1"]
    assert len(page.find_elements(By.CSS_SELECTOR, "#overlay g.dim")) == 2


def test_a_turned_picture_is_shown_upright_with_its_boxes(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(picture(320, 240, orientation=6))
    upload(page, path)
    wait_for(lambda: boxes(page) == 3)
    assert "240 \N{MULTIPLICATION SIGN} 320 pixels" in text(page, "status")
    assert page.find_element(By.ID, "overlay").get_dom_attribute("viewBox") == "0 0 240 320"
    shape = page.execute_script(
        "const p = document.getElementById('photo'); return [p.clientWidth, p.clientHeight]"
    )
    assert shape[0] / shape[1] == pytest.approx(240 / 320, abs=0.01)


def test_a_sample_picture_is_detected_with_one_click(page: Any) -> None:
    wait_for(lambda: page.find_elements(By.CSS_SELECTOR, "#samples button"))
    page.find_element(By.CSS_SELECTOR, "#samples button").click()
    wait_for(lambda: boxes(page) == 3)
    assert "512 \N{MULTIPLICATION SIGN} 512" in text(page, "status")


def test_a_bad_picture_shows_the_services_error(page: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    upload(page, tmp_path / "bad.jpg")
    wait_for(lambda: "are not a picture" in text(page, "problem"))
    assert boxes(page) == 0


def test_a_name_does_not_reverse_the_text_after_it(page: Any, tmp_path: Path) -> None:
    override = "\N{RIGHT-TO-LEFT OVERRIDE}"
    path = tmp_path / f"{override}gnp.jpg"
    path.write_bytes(picture(320, 240))
    upload(page, path)
    wait_for(lambda: "pixels" in text(page, "status"))
    left = page.execute_script(
        "const [name, rest] = document.getElementById('status').childNodes;"
        "const at = (i) => { const r = document.createRange(); r.setStart(rest, i);"
        " r.setEnd(rest, i + 1); return r.getBoundingClientRect().left; };"
        "return [at(2), at(3), at(4)]"
    )
    assert left == sorted(left)


def test_a_picture_that_fails_leaves_nothing_of_the_one_before(
    page: Any, photo: Path, tmp_path: Path
) -> None:
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    upload(page, tmp_path / "bad.jpg")
    wait_for(lambda: "are not a picture" in text(page, "problem"))
    assert (boxes(page), rows(page), text(page, "timings"), text(page, "labels")) == (0, [], "", "")
    assert not page.find_element(By.ID, "actions").is_displayed()


def test_copy_and_save_buttons(page: Any, photo: Path, tmp_path: Path) -> None:
    page.execute_cdp_cmd(
        "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.execute_script(
        "window.copied = []; Object.defineProperty(navigator, 'clipboard',"
        " { value: { writeText: async (t) => { window.copied.push(t); } }, configurable: true })"
    )
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    for name in ("copy-json", "copy-curl", "save"):
        page.find_element(By.ID, name).click()
    content, curl = page.execute_script("return window.copied")
    assert [d["label"] for d in json.loads(content)["detections"]] == ["person", "person", HOSTILE]
    url = page.current_url
    assert curl == (
        f"curl -F 'image=@photo'\\''s.jpg' '{url}detect?score_threshold=0.05&max_detections=100'"
    )
    saved = tmp_path / "photo's-detections.jpg"
    wait_for(lambda: saved.exists() and saved.stat().st_size)
    assert saved.read_bytes()[:2] == b"\xff\xd8"


def test_a_service_without_a_model_server_says_so_and_recovers(
    page: Any, photo: Path, backend: FakeBackend
) -> None:
    good = backend.reply

    def fail(_: bytes) -> None:
        raise Refuse(grpc.StatusCode.INTERNAL)

    backend.reply = fail
    try:
        upload(page, photo)
        wait_for(lambda: "The model server failed" in text(page, "problem"))
    finally:
        backend.reply = good
    upload(page, photo)
    wait_for(lambda: boxes(page) == 3)
    assert not page.find_element(By.ID, "problem").is_displayed()


def test_the_page_loads_nothing_from_other_hosts(gateway: GatewayProcess) -> None:
    files = [p for p in (ROOT / "service" / "web").iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 60_000
    for path in files:
        content = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in content.replace("https:// pages", ""), path
    answer = httpx.get(gateway.url)
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert httpx.get(f"{gateway.url}/web/../settings.py").status_code == 404
    for sample in httpx.get(f"{gateway.url}/web/samples.json").json():
        assert httpx.get(f"{gateway.url}/web/{sample['file']}").content[:2] == b"\xff\xd8"
