"""The pages in a real browser: they work, keep to their policy, ask nobody else, and fit a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from alerting.models import State, Subscription
from tests.alerting.pages_world import PASSWORD, World, event_new, notification_new, vessel_inside, world_new
from vessels.models import Vessel

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--disable-gpu", "--disable-quic"),
]

PATHS = ("/", "/subscriptions/", "/channels/", "/notifications/", "/profile")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is not there"),
]


@dataclass(slots=True)
class Seen:
    """What went wrong on a page, and whom it asked."""

    page: Page
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def listen(self) -> Seen:
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        return self


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright's loop lives in this thread; Django would refuse the database beside it
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def world() -> World:
    made = world_new("moana")
    vessel_inside(made)
    notification_new(made, event=event_new(made), state=State.FAILED, reason="550 no such user")
    Subscription.objects.all().update(active=False)
    return made


def sign_in(page: Page, live_server: LiveServer, world: World) -> None:
    page.goto(f"{live_server.url}/sign-in")
    page.get_by_label("E-mail").fill(world.user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("[data-map][data-ready]")


def test_a_subscription_is_turned_on_and_made_weekly(browser: Browser, live_server: LiveServer, world: World) -> None:
    page = browser.new_page()
    sign_in(page, live_server, world)
    page.get_by_role("link", name="Subscriptions").first.click()

    page.get_by_role("switch").click()
    page.locator(".errorlist", has_text="Choose at least one channel").wait_for()
    page.get_by_role("checkbox", name="mail").check()
    page.locator(".saved").wait_for()
    page.get_by_label("How soon").first.select_option("weekly")  # the second is for one way more
    page.get_by_label("On", exact=True).first.wait_for()
    page.locator(".subscription-next", has_text="08:00 NZ").wait_for()

    assert Subscription.objects.get().cadence == "weekly"
    page.close()


def test_the_pages_keep_their_policy_ask_nobody_else_and_fit_a_phone(
    browser: Browser, live_server: LiveServer, world: World
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    seen = Seen(page).listen()
    sign_in(page, live_server, world)
    notification = world.organisation.notifications.get()

    for path in (
        "/",
        "/subscriptions/",
        "/channels/",
        "/notifications/",
        f"/notifications/{notification.pk}/",
        "/profile",
    ):
        page.goto(live_server.url + path, wait_until="networkidle")
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{path} scrolls sideways by {too_wide} pixels"

    assert seen.faults == []
    assert [url for url in seen.asked if not url.startswith((live_server.url, "data:"))] == []
    page.close()


def test_the_map_and_its_list_name_the_vessel(browser: Browser, live_server: LiveServer, world: World) -> None:
    page = browser.new_page()
    sign_in(page, live_server, world)

    page.get_by_role("button", name="ENDEAVOUR").click()

    page.locator(".leaflet-tooltip", has_text="ENDEAVOUR").wait_for()
    page.close()


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "W" * 120])
def test_a_hostile_name_runs_nothing_and_fits_a_phone(
    browser: Browser, live_server: LiveServer, world: World, name: str
) -> None:
    Vessel.objects.update(name=name)
    page = browser.new_page(viewport={"width": 390, "height": 844})
    seen = Seen(page).listen()
    sign_in(page, live_server, world)

    page.locator(".vessel-button", has_text=name[:20]).click()
    label = page.locator(".leaflet-tooltip", has_text=name[:20])
    label.wait_for()

    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert label.evaluate("label => label.getBoundingClientRect().width") <= 390
    assert seen.faults == []
    page.close()


def test_the_keyboard_reaches_the_content_first(browser: Browser, live_server: LiveServer, world: World) -> None:
    page = browser.new_page()
    sign_in(page, live_server, world)
    page.goto(f"{live_server.url}/channels/")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"
    page.close()
