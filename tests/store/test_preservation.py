"""Self-preservation: many missing renewals are the network's fault, up to a ceiling."""

from artemis.store.preservation import PreservationSettings, RenewalWatch

SETTINGS = PreservationSettings(window_s=10, threshold=0.85, renewals_min=50, ceiling_s=600)


def steady(watch: RenewalWatch, *, live: int, seconds: int, start_s: int = 0, share: float = 1.0) -> list[bool]:
    """Every lease is renewed each five seconds, or a share of them; the verdict of each second."""
    verdicts: list[bool] = []
    for second in range(start_s, start_s + seconds):
        watch.count(round(live * share / 5))
        verdicts.append(watch.judge(live, now_s=float(second + 1)))
    return verdicts


def test_expiry_goes_on_while_renewals_arrive() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    assert not any(steady(watch, live=100, seconds=100))


def test_expiry_stops_before_the_first_lease_would_run_out_when_renewals_stay_away() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    verdicts = steady(watch, live=100, seconds=60, start_s=60, share=0)
    assert verdicts.index(True) < 15  # a lease of 20 s that was renewed every 5 s runs out 15 s later at the earliest
    assert all(verdicts[15:])


def test_one_in_ten_missing_is_no_reason_to_doubt() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    assert not any(steady(watch, live=100, seconds=60, start_s=60, share=0.9))


def test_protection_ends_when_renewals_are_back() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    steady(watch, live=100, seconds=60, start_s=60, share=0)
    verdicts = steady(watch, live=100, seconds=40, start_s=120)
    assert not any(verdicts[20:])


def test_protection_ends_at_its_ceiling_and_the_loss_is_accepted() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    verdicts = steady(watch, live=100, seconds=700, start_s=60, share=0.5)
    since = verdicts.index(True)
    assert all(verdicts[since : since + 600])
    assert not verdicts[since + 600]
    assert not any(verdicts[since + 601 :])


def test_few_renewals_are_not_judged() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=20, seconds=60)
    assert not any(steady(watch, live=20, seconds=60, start_s=60, share=0))


def test_a_fleet_that_shrinks_by_unregistering_does_not_look_ill() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=1000, seconds=60)
    assert not any(steady(watch, live=400, seconds=100, start_s=60))


def test_a_fleet_that_doubles_does_not_look_ill() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    newcomers = [watch.judge(200, now_s=60.0)]
    newcomers += steady(watch, live=200, seconds=5, start_s=60, share=0.5)
    assert not any(newcomers + steady(watch, live=200, seconds=100, start_s=65))


def test_a_burst_is_not_the_new_normal() -> None:
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    steady(watch, live=100, seconds=10, start_s=60, share=5)
    assert not any(steady(watch, live=100, seconds=100, start_s=70)[10:])


def test_it_can_be_switched_off() -> None:
    watch = RenewalWatch(PreservationSettings(enabled=False), now_s=0)
    steady(watch, live=100, seconds=60)
    assert not any(steady(watch, live=100, seconds=60, start_s=60, share=0))


def test_windows_in_which_the_process_was_paused_teach_nothing() -> None:
    """What arrived during a pause counts within the short time that the process ran: that is not the new normal."""
    watch = RenewalWatch(SETTINGS, now_s=0)
    steady(watch, live=100, seconds=60)
    for start_s in range(60, 180, 5):
        watch.distort()
        steady(watch, live=100, seconds=5, start_s=start_s, share=3)
    assert not any(steady(watch, live=100, seconds=100, start_s=180))
