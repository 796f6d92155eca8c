"""The catalogue of what breaks such a service: each failure with the tests that inject it, or why there is none.

The numbers F01 to F40 are those of the catalogue the design names. A test is ``file::name`` below ``tests``.
"""

from __future__ import annotations

from typing import NamedTuple

INVARIANTS = (
    "nothing_accepted_is_lost",
    "no_second_run_while_the_lease_holds",
    "a_lost_lease_stops_the_run",
    "deploys_cost_no_attempts",
    "dead_letter_exactly_once",
    "poison_payload_is_dead_at_once",
    "observers_cannot_change_an_outcome",
    "broker_outage_resumes",
    "idle_pickup_is_instant",
    "paused_starts_nothing",
    "deadline_is_kept",
    "probes_tell_the_truth",
    "a_job_that_kills_its_process_ends_in_dead_letter",
)
"""Each is the beginning of the name of at least one test."""


class Failure(NamedTuple):
    """What breaks, the tests of it, and what of the catalogue's entry they leave out and why."""

    what: str
    tests: tuple[str, ...] = ()
    left_out: str = ""


CATALOGUE: dict[str, Failure] = {
    "F01": Failure(
        "kill -9 of a worker in mid-job",
        (
            "engine/test_leases.py::test_a_job_of_a_dead_worker_is_recovered",
            "chaos/test_nothing_accepted_is_lost.py::test_nothing_accepted_is_lost_at_any_crash_point",
            "cli/test_run.py::test_jobs_survive_kill_9_of_the_worker_and_its_restart",
        ),
    ),
    "F02": Failure(
        "kill -9 between failed for good and dead-lettered",
        ("chaos/test_dead_letter_exactly_once.py::test_dead_letter_exactly_once",),
    ),
    "F03": Failure(
        "redrive",
        (
            "brokers/redis/test_dead_letters.py::test_redriving_gives_one_job_with_fresh_attempts",
            "brokers/redis/test_dead_letters.py::test_a_second_death_after_a_redrive_is_a_second_letter",
        ),
        "no kill between its two steps: they are one transaction",
    ),
    "F04": Failure(
        "a job that kills its process again and again",
        (
            "chaos/test_poison.py::test_a_job_that_kills_its_process_ends_in_dead_letter",
            "chaos/test_poison.py::test_innocents_beside_a_job_that_kills_process_after_process_complete",
        ),
    ),
    "F05": Failure(
        "stalled more often than allowed",
        (
            "chaos/test_dead_letter_exactly_once.py::test_dead_letter_exactly_once_for_jobs_that_stalled_out",
            "interop/test_queue_settings.py::test_a_job_that_stalled_too_often_fails_and_is_dead_lettered",
            "interop/test_dead_letters.py::test_a_job_that_a_node_worker_failed_gets_its_letter_from_us",
        ),
    ),
    "F06": Failure(
        "kill -9 of the broker under load; the tail of its AOF lost",
        (
            "chaos/test_outages.py::test_broker_outage_resumes",
            "brokers/embedded/test_broker.py::test_a_power_loss_costs_the_unfinished_command_only",
        ),
    ),
    "F07": Failure(
        "the broker comes back empty",
        ("chaos/test_outages.py::test_a_broker_that_has_lost_everything_is_served_on",),
        "no metric suspects it: the lost leases are logged and counted",
    ),
    "F08": Failure(
        "the broker is frozen for longer than a lock",
        (
            "engine/test_outages.py::test_a_frozen_server_costs_nothing_while_the_lease_holds",
            "engine/test_outages.py::test_a_result_is_not_written_after_the_lease_has_ended",
        ),
    ),
    "F09": Failure(
        "OOM",
        (
            "chaos/test_outages.py::test_a_broker_that_refuses_writes_is_waited_for",
            "http/test_probes.py::test_probes_tell_the_truth_of_a_full_broker",
        ),
    ),
    "F10": Failure(
        "NOSCRIPT",
        (
            "engine/test_outages.py::test_forgotten_scripts_are_loaded_again",
            "chaos/test_outages.py::test_many_small_faults_lose_and_double_nothing",
        ),
    ),
    "F11": Failure(
        "READONLY after a fail-over",
        (
            "chaos/test_outages.py::test_a_read_only_replica_is_waited_for",
            "chaos/test_sentinel.py::test_a_demoted_primary_that_keeps_its_connections_is_left",
            "chaos/test_sentinel.py::test_a_lost_primary_costs_nothing_its_replica_has",
            "chaos/test_cluster.py::test_a_lost_primary_stops_no_other_queue_and_costs_nothing_its_replica_has",
        ),
    ),
    "F12": Failure("BUSY", ("chaos/test_outages.py::test_a_slow_script_of_somebody_else_is_waited_for",)),
    "F13": Failure(
        "a partition in both directions",
        (
            "chaos/test_deploys.py::test_deadline_is_kept_while_the_broker_hangs",
            "brokers/redis/wire/test_link.py::test_a_line_that_passes_nothing_is_given_up",
        ),
        "not for 60 s: it is noticed after 6 s, and nothing new happens from then on",
    ),
    "F14": Failure(
        "half-open connections",
        (
            "engine/test_outages.py::test_half_open_connections_are_noticed_within_20_s",
            "chaos/test_outages.py::test_half_open_links_and_a_killed_worker_together",
        ),
    ),
    "F15": Failure("idle latency", ("engine/test_fetcher.py::test_idle_pickup_is_instant",)),
    "F16": Failure(
        "a reply lost after execution",
        (
            "engine/test_outages.py::test_a_finish_whose_reply_is_lost_counts_once",
            "engine/test_outages.py::test_a_fetched_job_whose_reply_was_lost_is_found_at_once",
            "engine/test_outages.py::test_adding_survives_a_lost_reply_as_one_job",
        ),
    ),
    "F17": Failure(
        "connections reset again and again",
        (
            "engine/test_outages.py::test_connections_that_are_cut_all_the_time_lose_and_double_nothing",
            "chaos/test_outages.py::test_many_small_faults_lose_and_double_nothing",
        ),
    ),
    "F18": Failure(
        "wrong password, also meanwhile; commands that the ACL refuses",
        (
            "chaos/test_permissions.py::test_a_wrong_password_at_the_start_ends_it_with_a_clear_error",
            "chaos/test_permissions.py::test_a_password_that_changes_meanwhile_is_waited_for",
            "chaos/test_permissions.py::test_a_user_with_the_least_permissions_is_refused_nothing",
        ),
    ),
    "F19": Failure(
        "a slow line",
        (
            "brokers/redis/wire/test_link.py::test_a_large_reply_over_a_slow_line_is_waited_for",
            "chaos/test_leases.py::test_no_second_run_of_a_job_whose_lease_ended_on_the_way",
        ),
        "no lost packets, which need root; the benchmark measures throughput over a line of 20 ms",
    ),
    "F20": Failure(
        "brokers and workers of other versions",
        (
            "conformance/test_conformance.py::test_both_workers_leave_the_same",
            "interop/test_limits.py::test_our_worker_and_a_node_worker_share_a_queue_and_each_job_runs_once",
        ),
        "`make redis` tries Redis beside Valkey; BullMQ 5 is not tried",
    ),
    "F21": Failure(
        "an event loop that is blocked for longer than the lock",
        (
            "chaos/test_leases.py::test_no_second_run_while_the_lease_holds",
            "engine/test_leases.py::test_a_blocked_loop_is_noticed_with_the_job_that_blocks_it",
        ),
    ),
    "F22": Failure(
        "the lock taken away in mid-job",
        (
            "engine/test_leases.py::test_a_lost_lease_stops_the_run",
            "engine/test_leases.py::test_a_lost_lease_writes_nothing_also_when_the_run_ended",
        ),
    ),
    "F23": Failure(
        "SIGTERM while it starts",
        (
            "chaos/test_deploys.py::test_a_signal_before_the_start_has_ended_stops_it",
            "cli/test_run.py::test_sigterm_while_it_waits_for_redis_ends_it_at_once_with_0",
        ),
    ),
    "F24": Failure(
        "SIGTERM while idle, busy, paused, or without a broker",
        (
            "chaos/test_deploys.py::test_a_stop_of_an_idle_or_paused_worker_is_clean_and_quick",
            "chaos/test_stops.py::test_deadline_is_kept_by_a_stop",
        ),
    ),
    "F25": Failure(
        "SIGTERM with a job that hangs",
        (
            "chaos/test_deploys.py::test_deadline_is_kept_by_a_job_that_hangs",
            "chaos/test_deploys.py::test_deadline_is_kept_by_a_consumer_that_cannot_be_stopped",
        ),
    ),
    "F26": Failure(
        "a second and a third signal",
        (
            "test_service.py::test_a_second_signal_hands_back_at_once",
            "cli/test_startup.py::test_the_third_signal_ends_it_at_once_and_the_job_is_handed_back",
            "cli/test_run_processes.py::test_the_second_signal_hands_back_and_the_third_kills",
        ),
    ),
    "F27": Failure(
        "a worker that is frozen",
        (
            "chaos/test_leases.py::test_a_lost_lease_stops_the_run_of_a_process_that_was_frozen",
            "chaos/test_leases.py::test_a_freeze_shorter_than_the_lock_costs_nothing",
        ),
    ),
    "F28": Failure(
        "a wall clock that jumps",
        ("chaos/test_leases.py::test_no_second_run_while_the_wall_clock_jumps",),
        "a producer whose clock is wrong delays its own jobs: `doctor` tells the difference",
    ),
    "F29": Failure(
        "a CancelledError of the consumer's own, a listener that raises",
        (
            "test_processor.py::test_what_would_end_a_program_is_a_failed_attempt",
            "test_events.py::test_emit_never_raises_and_calls_the_other_listeners",
        ),
    ),
    "F30": Failure(
        "a full disk, a closed stdout, a log that nobody reads",
        (
            "chaos/test_observers.py::test_observers_cannot_change_an_outcome",
            "chaos/test_observers.py::test_observers_cannot_change_an_outcome_when_nobody_reads_the_log",
        ),
    ),
    "F31": Failure(
        "memory, file descriptors, threads and tasks over time",
        (
            "chaos/test_soak.py::test_no_job_leaves_anything_behind_in_its_process",
            "chaos/test_soak.py::test_memory_and_descriptors_stay_flat_over_a_soak",
        ),
    ),
    "F32": Failure(
        "hundreds of queues in one process, one of which always fails",
        (
            "chaos/test_many_queues.py::"
            "test_many_queues_share_a_handful_of_connections_and_their_troubles_stay_apart",
        ),
        "200 of them; the benchmark measures what each costs",
    ),
    "F33": Failure(
        "two services of one name",
        ("chaos/test_queues.py::test_two_services_of_one_name_do_not_get_in_each_others_way",),
    ),
    "F34": Failure(
        "a slow reader of events", left_out="nothing here reads the event stream: state is read instead"
    ),
    "F35": Failure("pauses under load", ("chaos/test_queues.py::test_paused_starts_nothing",)),
    "F36": Failure(
        "any bytes in a job",
        (
            "brokers/redis/test_decode.py::test_any_hash_is_a_job_or_an_invalid_payload",
            "core/test_policy.py::test_any_bytes_are_valid_options_or_an_invalid_payload",
            "engine/test_poison_payloads.py::test_poison_payload_is_dead_at_once",
        ),
    ),
    "F37": Failure(
        "any order of operations",
        ("conformance/test_conformance.py::test_both_workers_leave_the_same",),
        "the model is the Node worker, which leaves the same keys; the random failures mix the operations",
    ),
    "F38": Failure(
        "everything at once, at random",
        ("chaos/test_nothing_accepted_is_lost.py::test_nothing_accepted_is_lost_when_everything_fails_at_random",),
        "`make chaos MINUTES=` for longer",
    ),
    "F39": Failure(
        "histories that no order explains",
        ("engine/test_outages.py::test_adding_survives_a_lost_reply_as_one_job",),
        "no checker of histories: each transition is one script of Redis, and the final states show every job "
        "that is lost, in two places, or ran twice",
    ),
    "F40": Failure(
        "a safeguard that is not there",
        (
            "chaos/test_safeguards.py::test_a_scenario_goes_wrong_without_its_safeguard",
            "chaos/test_safeguards.py::test_a_relocation_goes_wrong_only_without_its_safeguard",
        ),
    ),
}
