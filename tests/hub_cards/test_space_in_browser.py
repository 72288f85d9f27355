"""The app as a visitor meets it: `python app.py` in a process of its own, and Chromium.

Set PYRATOK_SCREENSHOTS to a folder to look at the pages.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import pyratok
from pyratok import VideoTokens, read_video, write_video

SPACE = Path(pyratok.__file__).resolve().parent / "hub_cards" / "space"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE = 120_000
"""Milliseconds: the machines of CI are slow, and nothing here asserts a time."""

ATTACK = "<img src=x onerror=alert(1)>"
PLAYS = "video => video.readyState >= 2 && video.videoWidth > 0"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (apt install chromium)")


@pytest.fixture(scope="module")
def app_folder(tmp_path_factory) -> Path:
    """The app's folder for temporary files, two levels below one that nothing is to be written to."""
    folder = tmp_path_factory.mktemp("around") / "app" / "temporary"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def address(app_folder, tmp_path_factory) -> Iterator[str]:
    """Where the app listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(app_folder)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO")} | own
    log = tmp_path_factory.mktemp("log") / "app.log"
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=SPACE, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}", app, log)
        yield f"http://127.0.0.1:{port}"
        assert app.poll() is None, log.read_text()
        assert "a handler failed" not in log.read_text(), log.read_text()
    finally:
        app.terminate()
        app.wait(timeout=30)


def _wait_for(address: str, app: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert app.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.2)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; every page has a profile of its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        yield started
        started.close()


@pytest.fixture
def new_page(address, browser):
    """Opens the app as another visitor. Afterwards: nothing was asked of other hosts, no script failed, no box popped up."""
    contexts, troubles = [], []

    def opened(**options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: _is_local(request.url, address) or troubles.append(request.url))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message) or dialog.dismiss())
        page.goto(address)
        expect(page.get_by_text("Drop a clip here")).to_be_visible(timeout=PATIENCE)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _is_local(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", "data:", "blob:"))


@pytest.fixture(scope="module")
def short_clips(clips, tmp_path_factory) -> dict[str, Path]:
    """The first frames of two real clips, at half their size: quick to encode."""
    folder = tmp_path_factory.mktemp("clips")
    for name, count in (("city", 5), ("dog", 6)):
        frames, info = read_video(clips[name], count)
        write_video(folder / f"{name}.mp4", frames[:, ::2, ::2].contiguous(), info.fps)
    return {path.stem: path for path in folder.iterdir()}


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, if somebody wants to see it."""
    if folder := os.environ.get("PYRATOK_SCREENSHOTS"):
        page.wait_for_timeout(700)  # for pictures and videos to appear
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def upload(page: Page, path: Path, to: str = "#reconstruct-upload") -> None:
    page.set_input_files(f"{to} input[type=file]", path)


def wait_to_play(page: Page, element: str) -> str:
    """Wait until the video there has a picture; returns its address."""
    page.locator(f"{element} video").wait_for()
    page.wait_for_function(f"selector => ({PLAYS})(document.querySelector(selector))", arg=f"{element} video")
    return page.locator(f"{element} video").get_attribute("src")


def message(page: Page) -> str:
    """The text of the error that is shown, which is closed then."""
    text = page.get_by_test_id("toast-text").inner_text()
    picture(page, f"message_{re.sub('[^a-z]+', '_', text.lower())[:30]}")
    page.get_by_test_id("toast-close").click()
    expect(page.get_by_test_id("toast-text")).to_have_count(0)
    return text


def token_file(page: Page, folder: Path, button: str = "#token-file") -> VideoTokens:
    with page.expect_download() as download:
        page.locator(button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return VideoTokens.load(path)


def test_an_example_loads_and_the_slider_goes_through_its_levels(new_page, tmp_path):
    page = new_page(accept_downloads=True)
    picture(page, "start")
    page.get_by_role("button", name="people in a park").click()
    wait_to_play(page, "#original")
    seen = [wait_to_play(page, "#reconstruction")]
    picture(page, "example")
    for position in (1, 2, 3):
        page.locator("#levels input[type=range]").fill(str(position))
        page.wait_for_function(
            "last => document.querySelector('#reconstruction video')?.getAttribute('src') !== last", arg=seen[-1]
        )
        seen.append(wait_to_play(page, "#reconstruction"))
        picture(page, f"example_levels_{position}")
    assert len(set(seen)) == 4
    assert page.locator(".token-map img").count() == 4
    assert [row.count(".") for row in page.locator("#figures tr").all_inner_texts()[1:]] == [3, 3, 3, 3]
    tokens = token_file(page, tmp_path)
    stored = VideoTokens.load(SPACE / "examples" / "park" / "park.safetensors")
    assert tokens == stored and (tmp_path / "park.safetensors").exists()


def test_a_clip_is_reconstructed_and_words_become_masks_over_it(new_page, short_clips, tmp_path):
    page = new_page(accept_downloads=True)
    upload(page, short_clips["city"])
    original, reconstruction = wait_to_play(page, "#original"), wait_to_play(page, "#reconstruction")
    assert original != reconstruction
    expect(page.locator("#figures")).to_contain_text("5 frames of 128 x 72 pixels")
    tokens = token_file(page, tmp_path)
    assert tokens.video_size == (5, 72, 128) and (tmp_path / "city.safetensors").exists()
    picture(page, "upload")

    page.get_by_role("tab", name="Masks").click()
    page.locator("#masks-text input, #masks-text textarea").fill(f"the city lights {ATTACK}")
    page.locator("#masks-run").click()
    assert wait_to_play(page, "#masks") not in (original, reconstruction)
    words = page.locator("#legend .mask-word").all_inner_texts()
    assert [word.split()[0] for word in words] == ["city", "lights", "img", "src", "x", "onerror", "alert", "1"]
    assert page.locator("#legend img").count() == 0
    picture(page, "masks")


def test_a_video_is_generated_with_previews_and_can_be_cancelled(new_page, tmp_path):
    page = new_page(accept_downloads=True)
    page.get_by_role("tab", name="Generate").click()
    expect(page.locator("#cancel")).to_be_disabled()  # there is nothing to cancel
    page.locator("#prompt input, #prompt textarea").fill(f"a city at night {ATTACK}")
    page.locator("#generate").click()
    first = wait_to_play(page, "#generated")
    assert not page.locator("#status input, #status textarea").input_value().startswith("done")
    picture(page, "generating")
    page.wait_for_function("document.querySelectorAll('#steps img').length === 4")
    status = page.locator("#status input, #status textarea")
    expect(status).to_have_value(re.compile("^done"), timeout=PATIENCE)
    assert wait_to_play(page, "#generated") != first
    assert token_file(page, tmp_path, "#generated-tokens").caption == f"a city at night {ATTACK}"
    assert page.locator("img[src=x]").count() == 0
    picture(page, "generated")
    expect(page.locator("#cancel")).to_be_disabled(timeout=PATIENCE)

    page.locator("#generate").click()
    expect(status).to_have_value(re.compile("of the tokens"), timeout=PATIENCE)
    page.locator("#cancel").click()
    expect(status).to_have_value("stopped", timeout=PATIENCE)
    page.wait_for_timeout(1500)
    expect(status).to_have_value("stopped")
    expect(page.locator("#cancel")).to_be_disabled(timeout=PATIENCE)
    page.locator("#prompt input, #prompt textarea").fill("")
    page.locator("#generate").click()  # the queue goes on
    assert "Write what the video shows." in message(page)
    expect(page.locator("#cancel")).to_be_disabled(timeout=PATIENCE)
    expect(status).to_have_value("stopped")


def test_what_is_not_taken_gives_a_message(new_page, clips, tmp_path, app_folder):
    frames = read_video(clips["city"], 20)[0]
    write_video(tmp_path / "long.mp4", frames, 2)
    page = new_page()
    for name in ("notes.txt", f"{ATTACK}.txt", f"{ATTACK}.mp4"):
        (tmp_path / name).write_text("no video")
        upload(page, tmp_path / name)
        page.get_by_test_id("toast-text").wait_for()
        assert page.locator("img[src=x]").count() == 0  # no name is taken for HTML
        assert message(page) == "The file is not a video or picture that can be read, or is damaged."
        page.get_by_label("Clear").first.click()
    with open(tmp_path / "large.mp4", "wb") as large:
        large.truncate(60_000_000)
    upload(page, tmp_path / "large.mp4")
    texts = [message(page)]
    assert texts[0].startswith("File(s) exceed the maximum allowed size of 50.0 Mb")
    upload(page, tmp_path / "long.mp4")
    texts.append(message(page))
    assert texts[1].startswith("The clip is 10.0 s long, and the limit is 4 s: tick the box to take its beginning")
    assert not [text for text in texts if str(app_folder) in text or str(SPACE) in text]
    page.get_by_label("Of a longer clip take the beginning").first.check()
    wait_to_play(page, "#reconstruction")
    expect(page.locator("#figures")).to_contain_text("8 frames of 256 x 144 pixels, the beginning of a longer clip")


def test_a_tick_in_the_box_leaves_an_example_alone(new_page, clips, tmp_path):
    write_video(tmp_path / "long.mp4", read_video(clips["city"], 20)[0], 2)
    page = new_page()
    box = page.get_by_label("Of a longer clip take the beginning").first
    box.check()  # before anything is there
    box.uncheck()
    upload(page, tmp_path / "long.mp4")
    assert message(page).startswith("The clip is 10.0 s long")
    page.get_by_role("button", name="people in a park").click()
    example = wait_to_play(page, "#original")
    box.check()
    page.wait_for_timeout(3000)
    assert page.locator("#original video").get_attribute("src") == example
    expect(page.get_by_test_id("toast-text")).to_have_count(0)


def test_nothing_in_the_page_can_ask_another_host(address, browser):
    page = browser.new_page()
    page.goto(address)
    expect(page.get_by_text("Drop a clip here")).to_be_visible(timeout=PATIENCE)
    blocked = page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI), { once: true });
            document.body.insertAdjacentHTML("beforeend", "<img src='//elsewhere.invalid/x.png'>");
        })"""
    )
    assert "elsewhere.invalid" in blocked
    page.close()


def test_no_file_is_served_but_those_of_visitors_and_examples(address):
    example = SPACE / "examples" / "park" / "park.safetensors"
    assert requested(address, f"/gradio_api/file={example}") == (200, example.read_bytes())
    for path in (SPACE / "app.py", example.parent / ".." / ".." / "app.py", "/etc/passwd", "../app.py", "app.py"):
        for quoted in (str(path), urllib.parse.quote(str(path), safe="")):
            status, body = requested(address, f"/gradio_api/file={quoted}")
            assert status in (403, 404) and b"import" not in body and b"root:" not in body


def test_an_upload_cannot_leave_its_folder(address, app_folder):
    statuses = []
    for name in ("../../escaped.mp4", "/tmp/escaped.mp4", "..\\..\\escaped.mp4"):
        body = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nvideo\r\n--x--\r\n'.encode()
        status, answer = requested(address, "/gradio_api/upload", body)
        statuses.append(status)
        if status == 200:
            (path,) = json.loads(answer)
            assert re.fullmatch(r"gradio/[0-9a-f]{64}/[^/\\]+", os.path.relpath(path, app_folder))
    assert 200 in statuses  # else nothing was tried
    around = app_folder.parent.parent
    assert all(app_folder / "gradio" in path.parents for path in around.rglob("*escaped.mp4"))
    assert not Path("/tmp/escaped.mp4").exists() and not (SPACE.parent / "escaped.mp4").exists()


def test_a_script_cannot_pass_by_the_queue(address):
    """Of the handlers that compute none may be called directly, or as many would run at once as somebody likes."""
    with urllib.request.urlopen(f"{address}/config") as answer:
        dependencies = json.load(answer)["dependencies"]
    queued = [each for each in dependencies if each["backend_fn"] and each["queue"] is not False]
    assert len(queued) >= 4  # an upload, the box, masks and generation
    for each in queued:
        data = {"data": [None] * len(each["inputs"]), "fn_index": each["id"], "session_hash": "script"}
        body = json.dumps(data).encode()
        assert requested(address, "/gradio_api/run/predict", body, "application/json")[0] == 404, each


def test_a_script_cannot_have_files_of_the_server_processed(address, short_clips):
    """Any path may be sent to a handler; only uploads are taken."""
    with urllib.request.urlopen(f"{address}/config") as answer:
        config = json.load(answer)
    upload_id = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "reconstruct-upload")
    handler = next(d["id"] for d in config["dependencies"] if upload_id in d["inputs"])

    def messages(path: str) -> bytes:
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = {"data": [file, False, None], "fn_index": handler, "session_hash": "script", "trigger_id": upload_id}
        status, joined = requested(address, "/gradio_api/queue/join", json.dumps(data).encode(), "application/json")
        return requested(address, "/gradio_api/queue/data?session_hash=script")[1] if status == 200 else joined

    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="city.mp4"\r\n\r\n'
    body = head + short_clips["city"].read_bytes() + b"\r\n--x--\r\n"
    (uploaded,) = json.loads(requested(address, "/gradio_api/upload", body)[1])
    assert b'"success":true' in messages(uploaded).replace(b": ", b":")
    for path in (str(SPACE / "examples" / "park" / "original.mp4"), "/etc/passwd"):
        refused = messages(path)
        assert b'"success":true' not in refused.replace(b": ", b":")
        assert b"original.mp4" not in refused and b"passwd" not in refused  # no path in the message


def requested(address: str, path: str, body: bytes | None = None, kind: str = "multipart/form-data; boundary=x"):
    """(status, body) of a GET, or of a POST if there is a body."""
    request = urllib.request.Request(f"{address}{path}", body, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read()


def test_two_visitors_at_once_see_their_own_clips(new_page, short_clips, tmp_path):
    pages = {name: new_page(accept_downloads=True) for name in short_clips}
    for name, page in pages.items():
        upload(page, short_clips[name])
    sizes = {"city": "5 frames of 128 x 72", "dog": "6 frames of 128 x 72"}
    for name, page in pages.items():
        expect(page.locator("#figures")).to_contain_text(sizes[name], timeout=PATIENCE)
    for name, page in pages.items():
        (tmp_path / name).mkdir()
        assert token_file(page, tmp_path / name).video_size[0] == int(sizes[name][0])
        page.locator("#levels input[type=range]").fill("1")
    addresses = {
        name: {wait_to_play(page, "#original"), wait_to_play(page, "#reconstruction")} for name, page in pages.items()
    }
    assert not addresses["city"] & addresses["dog"]


def test_a_narrow_phone_cuts_nothing_off(new_page):
    page = new_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page.get_by_role("button", name="an animated rabbit").tap()
    wait_to_play(page, "#reconstruction")
    picture(page, "phone")
    for tab in ("Masks", "Generate", "Reconstruct"):
        page.get_by_role("tab", name=tab).tap()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= 390"), tab
        picture(page, f"phone_{tab}")
