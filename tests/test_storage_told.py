"""What agents say, as it is kept and told, on both kinds of database."""

from __future__ import annotations

import pytest
from ledgers import clock, store, url
from test_metrics import of, read

from hub_groups.memberships import MANAGER
from hub_groups.store import GroupStore
from hub_quotas import metrics
from hub_quotas.delivery import Ways
from hub_quotas.home_storage import shelves
from hub_quotas.metrics import Samples, say_storage
from hub_quotas.notices import Notices, Told
from hub_quotas.policy import parse_policy
from hub_quotas.storage_store import Directory, Mount, mounts, read_days, report
from hub_quotas.storage_view import mount_views, storage_vitals
from hub_quotas.storage_warnings import warn
from hub_quotas.store import QuotaStore

__all__ = ["clock", "store", "url"]

GIB = 2**30
DAY = 24 * 3600 * 10**6
WAYS = Ways("https://hook.invalid/", "smtp://127.0.0.1", "hub@x.org", "{user}@x.org")
POLICY = {"groups": {"geo": {"limits": {"member.storage": "10G", "group.storage": "100G"}}}}


def days(store: QuotaStore, most: int) -> list[int]:
    """What pat's homes held together."""
    with store.db.read() as tx:
        by_mount = read_days(tx, "user", ["pat"], most, store.present(tx)).values()
    longest = max(map(len, by_mount))
    return [
        sum(held) for held in zip(*([0] * (longest - len(h)) + h for h in by_mount), strict=True)
    ]


def home(used: float, name: str = "pat", applied: int | None = 10, problem: str = "") -> Directory:
    return Directory("user", name, int(used * GIB), applied and applied * GIB, problem)


def shared(used: float) -> Directory:
    return Directory("group", "geo", int(used * GIB), 100 * GIB)


def mount(*problems: str, name: str = "homes") -> Mount:
    return Mount(name, "btrfs, simple quotas", 200 * GIB, 50 * GIB, problems)


@pytest.fixture
def groups(tmp_path, clock) -> GroupStore:
    made = GroupStore(f"sqlite:///{tmp_path}/groups.sqlite", clock=lambda: clock.now // 10**6)
    roll = {"geo": {"pat": "member", "prof-ada": MANAGER}}
    made.replace_source("roster:test", roll)
    return made


@pytest.fixture
def say(store, groups):
    """As an agent does."""
    store.apply(parse_policy(POLICY), "admin", "tests")

    def say(*some: Directory, on: str = "homes", gone: tuple[str, ...] = ()) -> None:
        report(store, mount(name=on), some, gone)
        warn(store, groups, WAYS, on, some, gone)

    return say


def told(store, user: str = "pat") -> list[Told]:
    return Notices(store).of(user, ["geo"], 0)


def sent(store) -> set[str]:
    """To whom something is sent since this was asked last."""
    mails = Notices(store).to_send()
    for mail in mails:
        Notices(store).sent(mail)
    return {mail.address for mail in mails}


def test_an_owner_is_told_once_until_there_is_room_again(store, say):
    say(home(5), home(7.9, "kim"))
    assert told(store) == []
    say(home(8.5))
    assert [one.text for one in told(store)] == [
        "Your home has passed 80% of what it may hold: 8.5 of 10 GiB are used. All that is in it "
        "counts, hidden files and the trash too. Delete what is not needed, and empty the trash. "
        "To get more, ask prof-ada, who manages geo."
    ]
    assert told(store, "kim") == []
    assert sent(store) == {"pat@x.org"}
    say(home(8.6))
    say(home(7.9))
    assert sent(store) == set()
    say(home(9.6))
    assert [one.text[:25] for one in told(store)] == ["Your home is nearly full:"], "the highest"
    assert sent(store) == {"pat@x.org"}
    assert not Notices(store).open_stems(), "the enforcer has nothing to do with it"
    say(home(1))
    assert told(store) == []
    say(home(8.5))
    assert sent(store) == {"pat@x.org"}, "again, since there was room"
    say(gone=("user/pat",))
    assert told(store) == []


def test_of_a_shared_directory_the_group_is_told_and_its_managers_get_mail(store, say):
    say(shared(96))
    (one,) = told(store, "anybody in geo")
    assert one.text.startswith("The shared directory of geo is nearly full: 96 of 100 GiB")
    assert (one.user, one.group, one.kind) == ("", "geo", "storage")
    assert sent(store) == {"prof-ada@x.org", "webhook"}


def test_who_has_two_homes_is_told_which(store, say):
    say(home(1), on="scratch")
    say(home(9))
    assert [one.text[:21] for one in told(store)] == ["Your home on homes ha"]


def test_nobody_is_told_of_what_has_no_limit_or_no_owner(store, say):
    say(home(50, applied=None), Directory("other", "homes/x", 9 * GIB, GIB))
    assert Notices(store).current(0) == []


def test_each_day_has_its_most_and_the_next_begins_with_what_was_left(store, clock):
    for used in (5, 9, 2):
        report(store, mount(), [home(used)])
    clock.now += DAY
    assert days(store, 30) == [9 * GIB, 2 * GIB]
    clock.now += 2 * DAY
    report(store, mount(), [home(1)])
    report(store, mount(name="scratch"), [home(4)])
    assert [one // GIB for one in days(store, 30)] == [9, 2, 2, 6]
    clock.now += 40 * DAY
    assert [one // GIB for one in days(store, 3)] == [5, 5, 5]
    report(store, mount(name="scratch"), [], ["user/pat"])
    clock.now += DAY
    assert [one // GIB for one in days(store, 2)] == [5, 1]


def test_my_home_and_when_it_is_full(store, clock, say):
    for day in range(10):
        say(home(3 + day / 2))
        clock.now += DAY
    (mine,) = shelves(store, "pat", ["geo"])
    assert [one / GIB for one in mine.days] == [3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 7.5]
    assert mine.full_at is not None
    assert 4 < (mine.full_at - clock.now) / DAY < 7


def test_what_an_agent_found_is_remembered_for_a_week(store, clock):
    report(store, mount("pat: one."), [])
    clock.now += DAY
    report(store, mount("kim: two."), [])
    report(store, mount(), [])
    (found,) = mounts(store)
    assert found.problems == ("kim: two.", "pat: one.")
    clock.now += 6 * DAY + 1
    report(store, mount(), [])
    assert mounts(store)[0].problems == ("kim: two.",)


def test_a_file_system_as_an_admin_sees_it(store, clock):
    some = [
        *(home(9.7), home(8.5, "kim"), home(1, "lee"), home(3, "max", None, "max is ordinary.")),
        *(shared(96), Directory("other", "homes/old", 7 * GIB, None)),
    ]
    report(store, mount(), some)
    clock.now += 11 * 60 * 10**6
    (view,) = mount_views(store)
    assert view.mount.stale
    assert view.promised == 130 * GIB
    assert (view.of("user").count, view.of("user").full, view.nearly, view.unlimited) == (
        4,
        1,
        3,
        1,
    )
    assert view.rest == pytest.approx((150 - 9.7 - 8.5 - 1 - 3 - 96 - 7) * GIB)
    assert [one.name for one in view.fullest] == ["pat", "geo", "kim"]
    assert [one.problem for one in view.unset] == ["max is ordinary."]
    assert [one.name for one in view.nobody] == ["homes/old"]

    samples = Samples()
    say_storage(samples, storage_vitals(store))
    said = read(samples.text())
    homes = {"mount": "homes", "kind": "user"}
    assert of(said, metrics.STORAGE_LIMIT, **homes) == 30 * GIB
    assert of(said, metrics.STORAGE_FULL, **homes) == 1
    assert of(said, metrics.SHARED_USED, mount="homes", group="geo") == 96 * GIB
    assert of(said, metrics.STORAGE_HEARD, mount="homes") == view.mount.at / 10**6
    assert "pat" not in samples.text()
