//! Every limit of CloudAI (invariant I10): queues, batches, retries, message sizes, time-outs. One name, one place, one reason.

use crate::time::Millis;

// ---- What a user may submit -------------------------------------------------------------------------------------------

/// Tasks of one job.
pub const ARRAY_TASKS_MAX: u32 = 1_000_000;
/// One encoded job spec: the log carries it, so it must stay far below one log entry.
pub const SPEC_BYTES_MAX: usize = 256 << 10;
/// A spec file that the command line reads at all.
pub const SPEC_FILE_BYTES_MAX: usize = 1 << 20;
pub const NAME_BYTES_MAX: usize = 63;
pub const IMAGE_BYTES_MAX: usize = 512;
pub const COMMAND_WORDS_MAX: usize = 4096;
pub const ENV_VARS_MAX: usize = 1024;
pub const LABELS_MAX: usize = 64;
pub const LABEL_BYTES_MAX: usize = 128;
/// Expressions over labels, preferences, or taints that one spec names; and values in one of them.
pub const PLACEMENT_RULES_MAX: usize = 32;
/// Labels of one job: each start keeps them in memory, and rules of other jobs are asked of them.
pub const JOB_LABELS_MAX: usize = 16;
/// Jobs that one spec stays apart from, and as many that it goes together with: each is asked of each worker that is looked at.
pub const NEAR_RULES_MAX: usize = 8;
pub const EXPRESSION_VALUES_MAX: usize = 64;
pub const PREFERENCE_WEIGHT_MAX: u32 = 100;
pub const SPREAD_SKEW_MAX: u32 = 1_000;
/// Tasks of a job that stay apart or are spread: where they all are is counted in each pass that places one, and in each entry.
pub const SPREAD_TASKS_MAX: u32 = 100_000;
pub const MOUNTS_MAX: usize = 32;
/// Volumes of one task, beside its mounts.
pub const VOLUMES_MAX: usize = 32;
/// A path in a spec, a server's name, and the options of one mount of it.
pub const PATH_BYTES_MAX: usize = 4_096;
pub const HOST_NAME_BYTES_MAX: usize = 253;
pub const NFS_OPTIONS_BYTES_MAX: usize = 256;
/// Shares of file servers that one worker's operator lists.
pub const NFS_SHARES_MAX: usize = 64;
pub const PRIORITY_MAX: i32 = 1000;
pub const ATTEMPTS_MAX: u32 = 100;
/// Processes and threads of one attempt at a time: where its spec says nothing, and what a spec may say. The engine itself needs some to
/// start a container.
pub const PROCESSES_DEFAULT: u32 = 4_096;
pub const PROCESSES_MIN: u32 = 64;
pub const PROCESSES_MAX: u32 = 65_536;
/// Open files of each process of an attempt: where its spec says nothing, and what a spec may say. The most is what kernels allow as they
/// come (`fs.nr_open`); an engine may have less to give.
pub const OPEN_FILES_DEFAULT: u32 = 16_384;
pub const OPEN_FILES_MIN: u32 = 64;
pub const OPEN_FILES_MAX: u32 = 1_048_576;
/// `/dev/shm` of an attempt whose spec says nothing: what engines give as they come.
pub const SHM_BYTES_DEFAULT: u64 = 64 << 20;
/// The scratch of an attempt that asks for no storage: in memory, and counted within its memory.
pub const SCRATCH_BYTES_DEFAULT: u64 = 64 << 20;
/// Between the stop signal and SIGKILL, as a spec may say it; otherwise [`STOP_GRACE`].
pub const GRACE_MAX: Millis = Millis::from_secs(3600);
/// A user or group number. The kernel knows more, but beyond this some engines count from 0 again (CVE-2024-40635).
pub const USER_NUMBER_MAX: u32 = i32::MAX as u32;
pub const TIMEOUT_MAX: Millis = Millis::from_secs(30 * 24 * 3600);
pub const REQUEST_ID_BYTES_MAX: usize = 128;
pub const REASON_DETAIL_BYTES_MAX: usize = 1024;

/// Live jobs in the whole cluster: hot state holds each of them in memory.
pub const LIVE_JOBS_MAX: usize = 10_000_000;
/// A request's hash (XXH3-128 has 16 bytes).
pub const REQUEST_HASH_BYTES_MAX: usize = 64;
/// A text that apply gives back or keeps for people: a refusal's detail, an address, a software version.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Replicated time never passes the year 9999: a leader with a broken clock makes nothing that cannot be printed.
pub const REPLICATED_TIME_MAX: Millis = Millis(253_402_300_799_999);

// ---- Retries and retention --------------------------------------------------------------------------------------------

/// Infrastructure losses of one task before it is dead: nothing retries for ever.
pub const LOSSES_MAX: u32 = 5;
/// Wait before a failed attempt is tried again: doubled per attempt, up to the cap.
pub const RETRY_BACKOFF_FIRST: Millis = Millis(1_000);
pub const RETRY_BACKOFF_MAX: Millis = Millis::from_secs(300);
/// Longest pause that a job's own rules may ask for, and how fast it or the memory of a next try may grow, in hundredths.
pub const RETRY_DELAY_MAX: Millis = TIMEOUT_MAX;
pub const RETRY_FACTOR_PERCENT_MAX: u32 = 10_000;
/// A pause grows at most so often, however often a task has failed.
pub const RETRY_GROWS_MAX: u32 = 1_000;
/// Most that a next try may ask for after the last one ran out of memory: what 32 bits of MiB hold.
pub const RETRY_MEMORY_BYTES_MAX: u64 = (u32::MAX as u64) << 20;
/// Workers to which one waiting task may not go: the last so many on which it ended in a way that its rules send elsewhere.
pub const RETRY_AVOIDED_MAX: usize = 3;
/// What a waiting task with a past takes in memory, its place among those that wait for their time included.
pub const DEVIATING_BYTES_MAX: usize = 64;
/// Dead tasks that one command replays or drops: its share of `apply` stays below some milliseconds.
pub const DEAD_BATCH_MAX: usize = 1_000;
/// A task with so many attempts is not replayed: they are kept in one row.
pub const REPLAYED_ATTEMPTS_MAX: u32 = 1_000;
/// An ended job is not replayed for so long before its retention is over, or for a tenth of the retention where that is shorter: its results
/// are removed from the store before its rows are, and a replay that is on its way must not meet that.
pub const REPLAY_BEFORE_REMOVAL: Millis = Millis::from_secs(60);
/// Jobs whose queue time-out one logged command carries out; a job of any size is one row.
pub const EXPIRE_QUEUED_JOBS_MAX: u32 = 1_000;
/// Drained workers whose attempts one logged command tells to stop: at most [`WORKER_ATTEMPTS_MAX`] of each.
pub const EVICT_WORKERS_MAX: u32 = 10;
/// Jobs of one workflow.
pub const WORKFLOW_JOBS_MAX: usize = 10_000;
/// Dependencies of all its jobs together, those that its inputs imply included.
pub const WORKFLOW_DEPENDENCIES_MAX: usize = 100_000;
/// One encoded workflow: it is one command, and one message.
pub const WORKFLOW_BYTES_MAX: usize = 3 << 20;
/// Tasks of a job that waits for another one index by index; and those of all such dependencies of a workflow. What is still missing is kept
/// as a bit of each.
pub const WORKFLOW_EACH_TASKS_MAX: u32 = 100_000;
pub const WORKFLOW_EACH_BITS_MAX: u64 = 1_000_000;
/// Rows of tasks that one retry of a workflow looks at: its share of `apply` stays below a second.
pub const WORKFLOW_RETRY_TASKS_MAX: u64 = 100_000;
/// Faults that a refused workflow is told of at once.
pub const WORKFLOW_FAULTS_MAX: usize = 5;
/// Images of one workflow that registries are asked for at a time.
pub const WORKFLOW_IMAGES_AT_ONCE: usize = 16;
/// Jobs that a task waits for, of those that an explanation names.
pub const EXPLAIN_PARENTS_MAX: usize = 5;
/// A workflow file that the command line reads at all.
pub const WORKFLOW_FILE_BYTES_MAX: usize = 8 << 20;
/// Templates of one namespace, versions that one keeps, and the file of one version: it is one command, and one row.
pub const TEMPLATES_OF_NAMESPACE_MAX: u32 = 1_000;
pub const TEMPLATE_VERSIONS_MAX: usize = 100;
pub const TEMPLATE_BYTES_MAX: usize = 128 << 10;
/// Parameters of a template, and the text of one value.
pub const TEMPLATE_PARAMETERS_MAX: usize = 100;
pub const TEMPLATE_VALUE_BYTES_MAX: usize = 16 << 10;
/// Schedules of one namespace, and of the whole cluster: hot state knows when each is due.
pub const SCHEDULES_OF_NAMESPACE_MAX: u32 = 1_000;
pub const SCHEDULES_MAX: usize = 100_000;
/// A schedule's times as text, and the name of its time zone.
pub const CRON_BYTES_MAX: usize = 256;
pub const ZONE_BYTES_MAX: usize = 64;
/// A schedule whose times do not come within so many days has none: 29 February comes after eight years at the latest.
pub const CRON_DAYS_MAX: u32 = 8 * 366 + 1;
/// A run later than this was missed: nobody led, or the schedule was paused.
pub const SCHEDULE_LATE: Millis = Millis::from_secs(60);
/// Missed times that `all` runs after the fact, the newest of them; and those that are counted at all.
pub const SCHEDULE_CATCH_UP_MAX: usize = 100;
pub const SCHEDULE_MISSED_MAX: u32 = 1_000;
/// Runs that a schedule remembers, and the times to come that it shows.
pub const SCHEDULE_RUNS_KEPT: usize = 20;
pub const SCHEDULE_NEXT_SHOWN: usize = 5;
/// Runs that a leader begins at a time: each may wait for a registry.
pub const SCHEDULE_RUNS_AT_ONCE: usize = 16;
/// How long a task may wait for its first attempt, as a spec may say it; and how long a drain may last.
pub const QUEUE_TIMEOUT_MAX: Millis = Millis::from_secs(365 * 24 * 3600);
pub const DRAIN_DEADLINE_MAX: Millis = Millis::from_secs(30 * 24 * 3600);
/// How long a request id is remembered (I6).
pub const REQUEST_RETENTION: Millis = Millis::from_secs(24 * 3600);
/// Request ids that one logged command expires.
pub const EXPIRE_BATCH_MAX: usize = 1_000;
/// How long an ended job is kept, unless the masters' configuration says otherwise.
pub const JOB_RETENTION: Millis = Millis::from_secs(7 * 24 * 3600);
/// Jobs that one logged command names for removal, and rows that it removes: its share of `apply` stays below some milliseconds.
pub const EXPIRE_JOBS_MAX: usize = 1_000;
pub const EXPIRE_ROWS_MAX: u32 = 10_000;
/// Rows of jobs that the leader looks at in one go when it looks for old ones.
pub const EXPIRE_SCAN_MAX: usize = 2_000;

// ---- Namespaces, workers, masters -------------------------------------------------------------------------------------

pub const NAMESPACES_MAX: usize = 10_000;
/// A namespace's weight beside the others.
pub const QUOTA_WEIGHT_MAX: u32 = 1_000_000;

/// Users that one reply lists of each namespace: those who run most.
pub const QUOTA_USERS_MAX: usize = 1_000;
/// Of what a namespace has used, half counts after so long. Part of the replicated history: another number is another format of the log.
pub const USAGE_HALF_LIFE: Millis = Millis(3_600_000);
pub const WORKERS_MAX: usize = 100_000;
/// Of one worker.
pub const TAINTS_MAX: usize = 16;
pub const MASTERS_MAX: usize = 9;
/// Attempts of one worker at a time.
pub const WORKER_ATTEMPTS_MAX: usize = 10_000;

// ---- The log ----------------------------------------------------------------------------------------------------------

/// Commands that share one log entry, and their bytes.
pub const PROPOSAL_COMMANDS_MAX: usize = 4_096;
pub const PROPOSAL_BYTES_MAX: usize = 1 << 20;
/// Commands that wait for the proposer; one more is refused as "too busy".
pub const PROPOSER_QUEUE_MAX: usize = 65_536;
/// How long the proposer waits for callers that were just answered.
pub const PROPOSER_GATHER: Millis = Millis(1);
/// Log entries in flight. The first place is for anybody; a further one only for a batch of [`PROPOSER_OVERLAP_BYTES`], because
/// an entry costs the same CPU time whatever is in it.
pub const PROPOSER_WINDOW: usize = 2;
/// A batch of this size need not wait for the entry in flight: splitting it costs little beside what is in it.
pub const PROPOSER_OVERLAP_BYTES: usize = 64 << 10;
/// A write whose outcome is not known by then is reported as unknown.
pub const WRITE_TIMEOUT: Millis = Millis(10_000);
/// A leader that no majority has answered for this long tells whoever waits for a write that its outcome is unknown: nobody hangs on
/// a leader that may have been replaced.
pub const QUORUM_LOST_AFTER: Millis = Millis(1_400);
/// How often a waiting write looks for that.
pub const QUORUM_LOOK_EVERY: Millis = Millis(250);

// ---- Messages ---------------------------------------------------------------------------------------------------------

/// Largest message on the control and dispatch services.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest message between masters: above one entry plus its frame.
pub const RAFT_MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Unanswered calls on one submit stream.
pub const STREAM_CALLS_MAX: usize = 1_024;
/// Rows in one page of a list, and the default.
pub const PAGE_ROWS_MAX: usize = 10_000;
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Reports in one message of a worker.
pub const REPORTS_MAX: usize = 4_096;
/// Report messages of a worker that wait for their acknowledgement; what comes up in the meantime makes the next one.
pub const REPORTS_WINDOW: usize = 2;
/// Job specs that both ends of a worker's session remember, in order of sending; an older one is sent again.
pub const SESSION_SPECS_MAX: usize = 256;

// ---- Liveness ---------------------------------------------------------------------------------------------------------

/// A worker that is not heard of for this long is lost.
pub const LEASE: Millis = Millis(12_000);
/// Heartbeat period that a leader may tell: at most this, and at least.
pub const HEARTBEAT_PERIOD_MAX: Millis = Millis(3_000);
pub const HEARTBEAT_PERIOD_MIN: Millis = Millis(10);
/// How long a TCP connection of ours waits at least before it sends again what nobody confirmed, beside the round trip. Above a receiver's
/// shortest delay of a confirmation (40 ms).
pub const TCP_RETRANSMIT_MIN: Millis = Millis(50);
/// A TCP peer that said nothing for this long is asked whether it is there, and then every so often; what it has not confirmed for the last of
/// them, data or question, ends the connection.
pub const TCP_SILENCE_MAX: Millis = Millis(10_000);
pub const TCP_PROBE_EVERY: Millis = Millis(1_000);
pub const TCP_UNCONFIRMED_MAX: Millis = Millis(15_000);
/// A renewal counts only while the leader's own quorum acknowledgement is at most this old.
pub const QUORUM_ACK_AGE_MAX: Millis = Millis(1_000);
/// `on_disconnect: stop`: SIGTERM and SIGKILL, counted from the last acknowledged renewal.
pub const STOP_TERM_AFTER: Millis = Millis(6_000);
pub const STOP_KILL_AFTER: Millis = Millis(8_000);
/// The guard beside a worker waits this much longer than the worker itself would.
pub const GUARD_SLACK: Millis = Millis(500);
/// Between two looks of a guard whose worker is gone, or whose lease is over.
pub const GUARD_LOOK: Millis = Millis(1_000);
/// Between two looks of a worker whether its guard is there.
pub const GUARD_RESPAWN: Millis = Millis(5_000);

// ---- Workers ----------------------------------------------------------------------------------------------------------

/// Between the stop signal and SIGKILL, where the spec says nothing; and between two SIGKILLs.
pub const STOP_GRACE: Millis = Millis(10_000);
/// One attempt's log on the worker.
pub const LOG_BYTES_MAX: u64 = 16 << 20;
/// Logs of ended attempts that a worker keeps, oldest removed first.
pub const LOGS_TOTAL_BYTES_MAX: u64 = 4 << 30;
/// Each of the two files of a worker's mirror of task output: as it comes, and what its operator may say.
pub const LOG_MIRROR_FILE_BYTES: u64 = 64 << 20;
pub const LOG_MIRROR_FILE_BYTES_MIN: u64 = 1 << 20;
pub const LOG_MIRROR_FILE_BYTES_MAX: u64 = 16 << 30;
/// A line of the mirror; a longer one comes in pieces. Loki takes 256 KiB, and escapes may double it.
pub const LOG_MIRROR_LINE_BYTES_MAX: usize = 64 << 10;
/// Lines in memory that the mirror's disk has not taken yet; more are left out.
pub const LOG_MIRROR_QUEUE_BYTES_MAX: u64 = 8 << 20;
/// Logs of ended attempts on their way to the store at a time, and the pauses after one that it refused.
pub const LOGS_STORED_AT_ONCE: usize = 8;
pub const LOG_STORE_RETRY_MIN: Millis = Millis(1_000);
pub const LOG_STORE_RETRY_MAX: Millis = Millis(60_000);
/// A success that leaves a log and no results waits for the log to be stored for this long, and counts then.
pub const LOG_STORE_WAIT: Millis = Millis::from_secs(300);
/// Network namespaces that a worker keeps for short tasks, those in use included. Each costs the engine a supervisor of some 10 MB.
pub const NETWORK_SANDBOXES_MAX: usize = 16;
pub const NETWORK_SANDBOXES_MADE_AT_ONCE: usize = 2;
/// A task that ran no longer is short: the network of its container was a good part of its cost.
pub const NETWORK_SANDBOX_TASK_MAX: Millis = Millis(10_000);
/// One that no task has needed for this long goes.
pub const NETWORK_SANDBOX_IDLE_MAX: Millis = Millis(60_000);
/// After one could not be made.
pub const NETWORK_SANDBOX_RETRY: Millis = Millis(60_000);
/// Kinds of tasks (image and program) whose behaviour a worker remembers; the one not seen for longest goes.
pub const NETWORK_SANDBOX_KINDS_MAX: usize = 1_024;
/// What is read of a file that describes its network; the engine writes some hundred bytes.
pub const NETWORK_SANDBOX_FILE_MAX: u64 = 64 << 10;
/// Bytes and processes of a sandbox: its program needs a page and itself, to start it takes the engine more.
pub const NETWORK_SANDBOX_MEMORY: i64 = 16 << 20;
pub const NETWORK_SANDBOX_PIDS: i64 = 64;
/// A worker that stops takes this long at most to remove them, and the cgroups of its attempts.
pub const WORKER_TIDY_MAX: Millis = Millis(5_000);
/// An engine that does not answer a ping for this long is away.
pub const ENGINE_PING_MAX: Millis = Millis(5_000);
/// An attempt that cannot start because the engine is away waits this long for it, and then ends.
pub const ENGINE_AWAY_MAX: Millis = Millis(120_000);
/// Between two looks whether it is back.
pub const ENGINE_AWAY_LOOK: Millis = Millis(500);
/// Between two samples of what a worker's machine and its attempts use.
pub const SAMPLE_PERIOD: Millis = Millis(1_000);
/// Between two looks at the room on a master's disk, for its metrics.
pub const DISK_READ_PERIOD: Millis = Millis(5_000);
/// Between two readings of a worker's GPUs, and the age from which a reading says nothing any more.
pub const GPU_READ_PERIOD: Millis = Millis(5_000);
pub const GPU_READING_OLD: Millis = Millis(20_000);
/// Attempts that one sample names, the oldest jobs' first: each costs the worker two small files per second.
pub const TELEMETRY_ATTEMPTS_MAX: usize = 256;
/// What a worker keeps of its machine and each GPU: a mean and a maximum for each second of so long, and for each minute of so long.
pub const HISTORY_FINE: Millis = Millis::from_secs(15 * 60);
pub const HISTORY_COARSE: Millis = Millis::from_secs(7 * 24 * 3600);
/// GPUs of one worker that a history is kept of; each takes what the machine takes.
pub const HISTORY_GPUS_MAX: usize = 32;
/// What a worker keeps of all its attempts together, unless its configuration says otherwise, and what that may say. A quarter is for seconds, the
/// rest for minutes; the oldest go first.
pub const HISTORY_BYTES_DEFAULT: u64 = 32 << 20;
pub const HISTORY_BYTES_MIN: u64 = 1 << 20;
pub const HISTORY_BYTES_MAX: u64 = 1 << 30;
/// What was measured is written to the disk this often.
pub const HISTORY_WRITE_EVERY: Millis = Millis::from_secs(10);
/// Steps of one answer about what was used, and where nobody says how many.
pub const HISTORY_POINTS_MAX: u32 = 1_000;
pub const HISTORY_POINTS_DEFAULT: u32 = 120;
/// Questions about what was used that one leader has open, and that one worker answers at a time: it reads its files for each.
pub const HISTORY_ASKERS_MAX: usize = 64;
pub const HISTORY_READS_AT_A_TIME: usize = 2;
/// A worker that has not answered such a question by then does not know it, or its disk hangs.
pub const HISTORY_ANSWER_WITHIN: Millis = Millis::from_secs(10);
/// Between two looks whether a worker's engine is there, for its metrics.
pub const ENGINE_LOOK_PERIOD: Millis = Millis(5_000);
/// A worker that says that it leaves stays this long at least: what was assigned to it meanwhile is given back, and not lost.
pub const WORKER_LEAVE_LINGER: Millis = Millis(1_000);
/// A worker that ends by draining waits for this long at most until the last containers are removed; what is left, its next start removes.
pub const WORKER_REMOVALS_MAX: Millis = Millis(30_000);
/// What a task wrote to its disk is looked at this often: soon where it grows fast, seldom where it does not.
pub const STORAGE_LOOK_MIN: Millis = Millis(1_000);
pub const STORAGE_LOOK_MAX: Millis = Millis(5_000);
/// A look that takes long is repeated only after so many times its length: a twentieth of one core for one task at most. And after this
/// time in any case.
pub const STORAGE_LOOK_PAUSE_FACTOR: u64 = 20;
pub const STORAGE_LOOK_PAUSE_MAX: Millis = Millis(60_000);
/// Looks of one worker at a time.
pub const STORAGE_LOOKS_AT_A_TIME: usize = 2;
/// Files and folders of one task that asked for storage, and how deep they may be nested: what cannot be counted is over. Each level of a
/// look holds one open file.
pub const STORAGE_FILES_MAX: u64 = 1_000_000;
pub const STORAGE_DEPTH_MAX: usize = 100;
/// Between two tries to kill what is over its storage.
pub const STORAGE_KILL_RETRY: Millis = Millis(5_000);
/// What is read of an image's list of users, and answers from such lists that a worker remembers.
pub const PASSWD_BYTES_MAX: usize = 1 << 20;
pub const USERS_REMEMBERED_MAX: usize = 1_024;
/// Networks that one worker's operator lists.
pub const NETWORKS_MAX: usize = 64;
/// What is read of one of the kernel's files about a cgroup: a line for each disk at most.
pub const CGROUP_FILE_BYTES_MAX: u64 = 64 << 10;
/// One piece of a log on its stream.
pub const LOG_CHUNK_BYTES_MAX: usize = 64 << 10;
/// The endings in one message of reports together; a message of [`GRPC_MESSAGE_BYTES_MAX`] holds it with room to spare.
pub const REPORTS_BYTES_MAX: usize = 1 << 20;

// ---- Images -----------------------------------------------------------------------------------------------------------

/// One question to a registry, all its round trips together: a submit waits for it.
pub const REGISTRY_ANSWER_MAX: Millis = Millis(5_000);
pub const REGISTRY_CONNECT_MAX: Millis = Millis(2_000);
/// A registry that could not be reached is not asked again before: the next submits do not wait for it.
pub const REGISTRY_AWAY: Millis = Millis(15_000);
/// Registries that are remembered as away, and questions of one master in flight.
pub const REGISTRIES_AWAY_MAX: usize = 1_024;
pub const REGISTRY_QUESTIONS_MAX: usize = 256;
pub const REGISTRY_REDIRECTS_MAX: usize = 5;
/// What is read of a manifest, and of any other answer of a registry.
pub const REGISTRY_MANIFEST_BYTES_MAX: usize = 4 << 20;
pub const REGISTRY_ANSWER_BYTES_MAX: usize = 64 << 10;
/// What is read of a file that holds a password.
pub const PASSWORD_FILE_BYTES_MAX: u64 = 16 << 10;
/// A pull without progress for this long has failed.
pub const PULL_SILENCE_MAX: Millis = Millis::from_secs(300);
/// A layer whose download begins again makes progress, but only so often: a registry that always breaks off would be waited for for ever.
pub const PULL_RESTARTS_MAX: u32 = 5;
/// Layers of one image whose progress is followed; the engine itself takes no more than 125 or so.
pub const PULL_LAYERS_MAX: usize = 1_024;
/// A failed pull is remembered this long, so that an array of a thousand tasks does not ask a registry a thousand times.
pub const PULL_FAILURE_MEMORY: Millis = Millis(5_000);
/// How often it is noted how far a running pull is.
pub const PULL_TOLD_EVERY: Millis = Millis(1_000);
/// Running pulls that one heartbeat tells of.
pub const HEARTBEAT_PULLS_MAX: usize = 16;
/// Names of images that a worker tells a leader of; more than these are not told.
pub const IMAGES_TOLD_MAX: usize = 1_024;
/// How often a worker looks at its images, and how often it writes down which of them were used.
pub const IMAGES_LOOKED_AT_EVERY: Millis = Millis(60_000);
pub const IMAGES_WRITTEN_EVERY: Millis = Millis(10_000);
/// Images that a worker remembers to have pulled; beyond that the one not used for longest is forgotten, and stays for ever.
pub const IMAGES_REMEMBERED_MAX: usize = 10_000;
/// The file that remembers them, as far as it is read at all.
pub const IMAGES_FILE_BYTES_MAX: u64 = 64 << 20;

// ---- Results and inputs -----------------------------------------------------------------------------------------------

/// What one attempt may leave: files, bytes of one and of all, how deep its folders go, a path and a part of it.
pub const RESULT_FILES_MAX: usize = 10_000;
pub const RESULT_FILE_BYTES_MAX: u64 = 64 << 30;
pub const RESULT_TOTAL_BYTES_MAX: u64 = 256 << 30;
/// What an attempt that asked for no storage may write to its output folder, which is on the worker's disk all the same.
pub const RESULT_TOTAL_BYTES_DEFAULT: u64 = 1 << 30;
pub const RESULT_DEPTH_MAX: usize = 32;
pub const RESULT_PATH_BYTES_MAX: usize = 1_024;
pub const RESULT_NAME_BYTES_MAX: usize = 255;
/// Entries of an output folder that are looked at, those that are left out included.
pub const RESULT_ENTRIES_MAX: usize = 100_000;
/// What was left out is named in the manifest up to so many; the rest is counted.
pub const RESULT_LEFT_OUT_MAX: usize = 1_000;
/// The list of files in a task's record: beyond that only the manifest has it.
pub const RESULT_RECORD_BYTES_MAX: usize = 4 << 10;
/// A manifest that is read at all: every file with a path of full length.
pub const RESULT_MANIFEST_BYTES_MAX: u64 = 32 << 20;
/// One part of a large file on its way to the store. Stores want 5 MiB at least, and take 10,000 of them.
pub const RESULT_PART_BYTES: usize = 8 << 20;
/// Parts in memory at a time, of all attempts of a worker together.
pub const RESULT_PARTS_IN_MEMORY: usize = 8;
/// Files of one attempt that are on their way at a time.
pub const RESULT_FILES_AT_ONCE: usize = 4;
/// From the end of the program to the stored manifest.
pub const RESULT_STORE_MAX: Millis = Millis::from_secs(3_600);
/// A store that refuses for this long is given up for that attempt.
pub const RESULT_STORE_RETRY: Millis = Millis::from_secs(300);
/// Ended jobs whose results and logs a leader removes at a time, and how long it waits for one of them: nothing else waits longer.
pub const REMOVED_AT_ONCE: usize = 8;
pub const REMOVE_WITHIN: Millis = Millis(5_000);
/// Inputs of one spec, and tasks of a whole job that is one.
pub const INPUTS_MAX: usize = 64;
pub const INPUT_TASKS_MAX: usize = 10_000;
/// All inputs of one attempt together.
pub const INPUT_BYTES_MAX: u64 = 256 << 30;
/// One piece of a file on its stream to a user, and the files that one piece of a list names.
pub const RESULT_CHUNK_BYTES: usize = 256 << 10;
pub const RESULT_LIST_FILES: usize = 500;
/// How long an address is good that gives one file to whoever has it; and of how many bytes on it is worth a question.
pub const RESULT_ADDRESS_VALID: Millis = Millis::from_secs(3_600);
pub const RESULT_ADDRESS_FROM: u64 = 1 << 20;
/// A store that cannot be connected to for this long, or says nothing, is read through a master.
pub const RESULT_ADDRESS_CONNECT: Millis = Millis(3_000);
pub const RESULT_ADDRESS_SILENCE: Millis = Millis::from_secs(15);

// ---- Secrets ----------------------------------------------------------------------------------------------------------

/// One secret's value, and all that sealing adds to it. A task's secrets fit into one message, and a command with one into a log entry.
pub const SECRET_BYTES_MAX: usize = 64 << 10;
pub const SECRET_SEAL_BYTES_MAX: usize = 64;
/// Secrets and registry logins of one namespace together, and secrets of one job.
pub const SECRETS_OF_NAMESPACE_MAX: u32 = 1_000;
pub const SECRETS_OF_JOB_MAX: usize = 32;
/// A registry's host and port.
pub const REGISTRY_HOST_BYTES_MAX: usize = 255;
/// What is read of the file with the keys that seal secrets, and keys in it: the first seals, the others only open what they sealed.
pub const SECRETS_KEY_FILE_BYTES_MAX: u64 = 16 << 10;
pub const SECRETS_KEYS_MAX: usize = 16;
/// A worker asks for the secrets of an attempt for so long, until a master answers.
pub const SECRETS_FETCH_MAX: Millis = Millis::from_secs(600);
/// It asks for so long who may pull an attempt's image, and then pulls without a stored login.
pub const LOGIN_FETCH_MAX: Millis = Millis::from_secs(15);

// ---- Clients ----------------------------------------------------------------------------------------------------------

/// A client retries through other masters this long before it gives up.
pub const CLIENT_RETRY: Millis = Millis(30_000);
pub const CONNECT_TIMEOUT: Millis = Millis(2_000);
/// One call to one master; after that the next one is asked. Above `WRITE_TIMEOUT`, so that a master answers first.
pub const CLIENT_CALL_TIMEOUT: Millis = Millis(15_000);
/// Pause after every master was asked once, doubled per round, up to the cap.
pub const CLIENT_BACKOFF_FIRST: Millis = Millis(50);
pub const CLIENT_BACKOFF_MAX: Millis = Millis(1_000);
/// Calls that one command of a user makes at a time, and how often one that waits looks.
pub const CLIENT_CALLS_AT_ONCE: usize = 16;
pub const CLIENT_LOOK_EVERY: Millis = Millis(1_000);
/// How often `top` looks, at most, how long it waits for one answer, and how many calls one look is.
pub const TOP_LOOK_EVERY: Millis = Millis(1_000);
pub const TOP_ANSWER_WITHIN: Millis = Millis::from_secs(2);
pub const TOP_CALLS_PER_LOOK: usize = 10;
/// A list of so many workers is asked for at every second look only, one twice as long at every third.
pub const TOP_WORKERS_PER_LOOK: u64 = 2_000;
/// What `top` keeps: jobs that have not ended, tasks, events, and looks for its small curves.
pub const TOP_JOBS_MAX: usize = 200;
pub const TOP_TASKS_MAX: usize = 1_000;
pub const TOP_EVENTS_MAX: usize = 100;
pub const TOP_LOOKS_KEPT: usize = 240;
/// Inputs that wait for `top` to take them: behind a full queue nothing more is read.
pub const TOP_INPUTS_MAX: usize = 64;
/// Jobs that one `job watch` watches.
pub const WATCHED_JOBS_MAX: usize = 16;
/// How often it asks why one waits, and in a pipe the least time between two lines about the same job.
pub const WATCHED_JOB_ASKED_EVERY: Millis = Millis::from_secs(5);
pub const WATCHED_JOB_TOLD_EVERY: Millis = Millis::from_secs(3);
/// The shortest pause of `cluster status --watch`.
pub const STATUS_WATCH_EVERY_MIN: Millis = Millis(500);
/// Largest reply that a client reads: a full page of tasks with their reasons.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 << 20;

// ---- Raft and its stores ----------------------------------------------------------------------------------------------

/// One read of the log for replication, and so one append message (or one entry, if that is larger).
pub const LOG_READ_BYTES_MAX: usize = 1 << 20;
/// One read of the log for apply.
pub const APPLY_READ_BYTES_MAX: usize = 4 << 20;
/// How long news of a commit may wait for the next entries to the same master, to travel with them.
pub const COMMIT_WAITS_MAX: Millis = Millis(2);
/// How often a master looks whether its connections to the other masters are open.
pub const MASTER_LINKS_OPENED_EVERY: Millis = Millis(5_000);
/// How often a database looks whether the moment is calm: no more single writes since the last look than this, and at least so many
/// bytes that are only in memory. Then they are written out.
pub const CALM_LOOKED_FOR_EVERY: Millis = Millis(1_000);
pub const CALM_WRITES_MAX: u64 = 500;
pub const CALM_FLUSH_BYTES_MIN: u64 = 4 << 20;
/// Entries and payload bytes that are applied before their changes are written in one batch.
pub const APPLY_BATCH_ENTRIES_MAX: usize = 4_096;
pub const APPLY_BATCH_BYTES_MAX: usize = 4 << 20;
/// The newest part of the log that stays in memory, for replication and apply.
pub const LOG_TAIL_BYTES_MAX: usize = 32 << 20;
/// One piece of a checkpoint on its way to another master; the frame around it stays below 1 MiB.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = (1 << 20) - 1024;
/// Files of one checkpoint.
pub const SNAPSHOT_FILES_MAX: usize = 100_000;
/// Checkpoints that a master receives at a time (an old leader's may still be dying away).
pub const SNAPSHOTS_RECEIVED_MAX: usize = 2;
/// A learner gets its vote only when it is at most this many entries behind.
pub const PROMOTE_LAG_MAX: u64 = 1_000;
/// One membership change or its preparation; after that its outcome is unknown.
pub const MEMBERSHIP_CHANGE_MAX: Millis = Millis(10_000);
/// One fsync or one commit that takes longer than this is written to the process's own log: it is what callers wait for.
pub const DISK_SLOW: Millis = Millis(100);
/// One fsync or one commit that takes longer than this: the master hands the leadership over, and goes on as a follower.
pub const DISK_STALL: Millis = Millis(2_000);
/// One fsync or one commit that takes longer than this is a hung disk: the master hands over and exits.
pub const DISK_HANG: Millis = Millis(10_000);

// ---- Certificates and connections -------------------------------------------------------------------------------------

/// Wall clocks of two machines further apart than this are a fault: times that people read, and those of schedules, become wrong.
pub const CLOCKS_APART_MAX: Millis = Millis::from_secs(1);
/// Hundredths of a disk that are free: below the first a warning, below the second the machine is about to stop.
pub const DISK_LOW_PERCENT: u64 = 10;
pub const DISK_FULL_PERCENT: u64 = 3;
/// A certificate with less left than a quarter of [`LEAF_VALIDITY`] was not renewed when it should have been; with less than this it is urgent.
pub const CERTIFICATE_URGENT: Millis = Millis::from_secs(3 * 24 * 3600);
/// The mean time of a sync of the log above which the disk is too slow for a master.
pub const FSYNC_MEAN_MAX: Millis = Millis(50);
/// Log entries that a master which is well may be behind.
pub const HEALTHY_LAG_MAX: u64 = 10_000;
/// Each question of `cluster doctor` to one master.
pub const DOCTOR_ANSWER_WITHIN: Millis = Millis::from_secs(3);
/// A worker says how its machine is at least this often; its disk is looked at twice as often.
pub const CONDITION_EVERY: Millis = Millis::from_secs(60);
/// What a worker says about an engine that does not answer.
pub const ENGINE_TROUBLE_BYTES_MAX: usize = 256;
/// How long a leaf certificate is valid; it is renewed when two thirds of that have passed.
pub const LEAF_VALIDITY: Millis = Millis::from_secs(90 * 24 * 3600);
/// How long a CA certificate is valid.
pub const CA_VALIDITY: Millis = Millis::from_secs(10 * 365 * 24 * 3600);
/// A certificate is valid from this long before it was issued, for peers whose clock is behind.
pub const CERTIFICATE_BACKDATE: Millis = Millis::from_secs(300);
/// A certificate request that a master reads at all.
pub const CSR_BYTES_MAX: usize = 16 << 10;
/// Host names and addresses in one certificate.
pub const CERTIFICATE_HOSTS_MAX: usize = 64;
/// One key, certificate or bundle file.
pub const PEM_FILE_BYTES_MAX: u64 = 1 << 20;
/// How often certificate files are looked at for a change.
pub const CERTIFICATE_POLL: Millis = Millis::from_secs(2);
/// A TLS handshake that is not done by then is dropped.
pub const HANDSHAKE_TIMEOUT: Millis = Millis::from_secs(5);
/// Handshakes of one listener at a time; one more ends the oldest.
pub const HANDSHAKES_MAX: usize = 256;
/// Connections of one listener at a time; one more is closed at once.
pub const CONNECTIONS_MAX: usize = 32_768;
/// Accepted connections that the server has not taken up yet.
pub const ACCEPT_QUEUE_MAX: usize = 128;
/// Wait of the accept loop after the system refused another connection (no file descriptors left).
pub const ACCEPT_PAUSE: Millis = Millis(250);
/// Lines about refused connections that one listener logs per second.
pub const REFUSAL_LINES_PER_SECOND_MAX: u32 = 10;

// ---- HTTP -------------------------------------------------------------------------------------------------------------

pub const HTTP_BODY_BYTES_MAX: usize = 1 << 20;
/// A request whose headers are not complete by then is dropped.
pub const HTTP_HEADER_TIMEOUT: Millis = Millis::from_secs(30);
/// Bytes of the headers of one request.
pub const HTTP_HEADER_BYTES_MAX: usize = 32 << 10;
/// Requests in flight on one HTTP/2 connection.
pub const HTTP_STREAMS_MAX: u32 = 128;

// ---- Telemetry --------------------------------------------------------------------------------------------------------

/// While somebody watches, workers say what they use with each sample; while nobody does, so seldom: a first look is never empty.
pub const TELEMETRY_UNWATCHED_EVERY: Millis = Millis::from_secs(30);
/// Samples of all workers that a leader wants per second; with more workers each is asked for fewer.
pub const TELEMETRY_SAMPLES_PER_SECOND_MAX: usize = 2_000;
/// How often watchers are told what is new. Half of a worker's period, so that two samples of one worker are not in one frame.
pub const TELEMETRY_FRAME_EVERY: Millis = Millis(500);
const _: () = assert!(2 * TELEMETRY_FRAME_EVERY.0 <= SAMPLE_PERIOD.0);
/// A sample is shown for so long.
pub const TELEMETRY_KEPT_FOR: Millis = Millis::from_secs(90);
/// Workers go on for so long after the last watcher has left: who looks again soon finds something new.
pub const TELEMETRY_LINGER: Millis = Millis::from_secs(10);
/// GPUs in one sample, and bytes of one name in it.
pub const TELEMETRY_GPUS_MAX: usize = 64;
pub const TELEMETRY_NAME_BYTES_MAX: usize = 128;
/// Bytes of one frame to a gRPC watcher, and of one message to a WebSocket; what one worker says may make it longer. A connection holds one.
pub const TELEMETRY_FRAME_BYTES_MAX: usize = 512 << 10;
pub const WS_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Watchers of one master at a time: of gRPC, and of WebSockets.
pub const TELEMETRY_WATCHERS_MAX: usize = 256;
/// Followers that hear it from one leader, those of connections that die away included.
pub const TELEMETRY_RELAYS_MAX: usize = 32;
pub const WS_CLIENTS_MAX: usize = 512;
/// A watcher that takes nothing for so long is cut; a WebSocket's also when it says nothing for so long, not even to a ping.
pub const TELEMETRY_WATCHER_STALLED: Millis = Millis::from_secs(60);
pub const WS_CLOSE_WITHIN: Millis = Millis::from_secs(1);
pub const WS_PING_EVERY: Millis = Millis::from_secs(20);
/// Bytes that one WebSocket's connection has not taken: a message of the worker that says the most it may, and a ping behind it.
pub const WS_WRITE_BUFFER_BYTES_MAX: usize = 512 << 10;
/// Bytes of one message of a WebSocket client: it has nothing to say.
pub const WS_CLIENT_MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Attempts that one answer about all workers lists.
pub const WORKERS_ANSWER_ATTEMPTS_MAX: usize = 20_000;
/// Origins that a master's configuration may name.
pub const CORS_ORIGINS_MAX: usize = 64;

// ---- Scheduling loop --------------------------------------------------------------------------------------------------

/// Pause after placements that could not be written (a leadership that just ended, a busy log).
pub const SCHEDULE_RETRY: Millis = Millis(20);
/// A call that finds no leader waits this long for one before it is refused: an election or a hand-over is no error. Less than two
/// seconds, so that a caller without a quorum hears of it soon; clients go on asking by themselves.
pub const LEADER_WAIT: Millis = Millis(1_600);
/// A call that was passed on to a leader is given up so long after that one stopped leading.
pub const DEPOSED_LEADER_WAIT: Millis = Millis(500);

// ---- Explanations -----------------------------------------------------------------------------------------------------

/// Jobs that are counted as "ahead" of a waiting task; beyond that the answer says "at least".
pub const EXPLAIN_AHEAD_MAX: usize = 10_000;
/// Minutes of which the leader remembers how many tasks were started, for estimates of others' starts.
pub const PACE_MINUTES: usize = 10;
/// Workers whose time limits an estimate looks at, one after the other.
pub const ESTIMATE_WORKERS_MAX: usize = 1_000;

// ---- Events -----------------------------------------------------------------------------------------------------------

/// Notes of why a job has waited that its row keeps; the first one stays, the others make room for newer ones.
pub const NOTES_OF_JOB_MAX: usize = 32;
/// Jobs that one look of the leader notes reasons of, and notes that one command carries.
pub const NOTES_BATCH_MAX: usize = 256;
/// How often the leader looks why tasks wait. Who is not there at two looks in a row is not noted.
pub const NOTES_LOOK_EVERY: Millis = Millis::from_secs(10);
/// Workers that one such look goes over, for all jobs together; at least one job is looked at.
pub const NOTES_WORKER_LOOKS_MAX: usize = 200_000;
/// Events that a master keeps in memory, and their bytes.
pub const EVENTS_KEPT_MAX: usize = 100_000;
pub const EVENTS_KEPT_BYTES_MAX: usize = 24 << 20;
/// Events of workers that it keeps for those who hear of these alone, and their bytes.
pub const WORKER_EVENTS_KEPT_MAX: usize = 10_000;
pub const WORKER_EVENTS_KEPT_BYTES_MAX: usize = 2 << 20;
/// Events that one message to a watcher carries, and that one look at what is kept goes over.
pub const EVENTS_BATCH_MAX: usize = 512;
/// A watcher whom none of so many events concerned is told how far it has come, so that it can go on from there elsewhere.
pub const EVENTS_UNTOLD_MAX: usize = 10_000;
const _: () = assert!(EVENTS_UNTOLD_MAX + EVENTS_BATCH_MAX < EVENTS_KEPT_MAX / 2);
/// The last events that are shown where nobody says from where on.
pub const EVENTS_TAIL_DEFAULT: u32 = 100;
/// Watchers of one master at a time.
pub const EVENT_WATCHERS_MAX: usize = 256;
/// Messages to a watcher that its connection has not taken yet, and how long one may wait to be taken: then the watcher is cut, and goes on from
/// what it has got.
pub const EVENT_MESSAGES_MAX: usize = 8;
pub const EVENT_WATCHER_STALLED: Millis = Millis::from_secs(60);
/// A watcher gathers what happens for so long after a first event: many entries are then one message, and many watchers cost a master little.
pub const EVENT_GATHER: Millis = Millis(20);
/// Terms of which a master remembers who led.
pub const LEADERS_REMEMBERED_MAX: usize = 256;

/// Where a member serves something: `HOST:PORT`.
pub const ADDRESS_BYTES_MAX: usize = 280;

/// Pairs of a shape and a worker that one look at what waits, for metrics, may cost: it is under the state's lock. What it does not reach is
/// counted as such.
pub const HELD_UP_LOOKS_MAX: usize = 50_000;

// ---- Scheduling -------------------------------------------------------------------------------------------------------

/// Placements that one pass plans and one command carries. Measured: with 10,000 workers and a million queued jobs a pass
/// of so many stays below 5 ms, and so does its log entry's share of `apply`; larger passes gain nothing per placement.
pub const PASS_PLACEMENTS_MAX: u32 = 4_096;
/// Tasks with wishes of their own (more memory, not these workers) that one pass tries to place in vain; the next pass goes on from there.
pub const PASS_APART_LOOKS_MAX: u32 = 1_024;
/// Jobs that one pass looks at in vain because what they would fit on is reserved; the next pass begins at the first again.
pub const PASS_HELD_LOOKS_MAX: u32 = 1_024;
/// Workers that one pass looks at for tasks which it placed by preferences, apart or spread; the next pass goes on from there.
pub const PASS_RULE_LOOKS_MAX: u32 = 1_000_000;
/// Orders of the workers that are kept up at a time, each for a policy and for what tasks ask for, as far as the policy looks at that. One takes
/// 24 bytes for each worker.
pub const WORKER_ORDERS_MAX: usize = 128;
/// Workers that one pass puts into orders which are not kept up; the next pass goes on from there.
pub const PASS_ORDER_LOOKS_MAX: usize = 200_000;
/// Kinds of GPU tasks which the policy `fgd` takes for the usual ones: the most frequent.
pub const USUAL_TASKS_MAX: usize = 32;
/// Workers that are reserved at a time for tasks which fit nowhere, each for the first of its shape.
pub const RESERVATIONS_MAX: usize = 8;
/// Shapes that fit nowhere which one pass remembers in order, beside those that have a worker kept.
pub const PASS_BLOCKED_MAX: usize = 256;
/// Attempts that one search for room looks at.
pub const PREEMPT_LOOKS_MAX: u32 = 4_096;
/// Searches of one pass.
pub const PREEMPT_SEARCHES_MAX: usize = 4;
/// Tasks of a gang: they are placed by one pass, in one command, and a replay in bulk takes as many.
pub const GANG_TASKS_MAX: u32 = 1_000;
/// Workers that are kept at a time for a gang: each is looked at in each pass. A gang that needs more waits until it fits by itself.
pub const GANG_WORKERS_KEPT_MAX: usize = 64;
const _: () = assert!(GANG_TASKS_MAX <= PASS_PLACEMENTS_MAX);
/// At most one worker of so many is reserved, and one in a small cluster: the others go on taking what fits.
pub const RESERVED_WORKERS_PART: usize = 4;
/// Run times that an expectation is made of, and which quantile of them it is. Measured on two logs: docs/scheduling-simulator.md.
pub const EXPECT_RUNS_MAX: usize = 10;
pub const EXPECT_QUANTILE_PERCENT: usize = 70;
/// Kinds of tasks whose run times are remembered; the one not heard of for longest is forgotten first.
pub const EXPECT_LIKENESSES_MAX: usize = 100_000;
/// A process that ends in order waits this long for its tasks.
pub const SHUTDOWN_WITHIN: Millis = Millis(3_000);
/// A process that must not go on (a failed fsync, a refused disk) waits no longer than this.
pub const FAILED_SHUTDOWN_WITHIN: Millis = Millis(100);
/// A leader that ends in order tries to hand over for this long: a healthy successor needs a tenth of it.
pub const HAND_OVER_WITHIN: Millis = Millis(500);

// ---- A master's queues and look-ups -----------------------------------------------------------------------------------

/// Messages to one worker that its connection has not taken yet.
pub const SESSION_MESSAGES_MAX: usize = 256;
/// Upload messages in memory between a worker and a log's reader; more wait in the network.
pub const LOG_UPLOAD_MESSAGES_MAX: usize = 16;
/// Rows that one page looks at before it gives a cursor back, found or not.
pub const PAGE_SCAN_MAX: usize = 100_000;
/// The same where each needs a look at the job's spec, which lies in a file for large values: some tens of microseconds.
pub const PAGE_SPECS_MAX: usize = 2_000;
/// An id prefix is looked for among so many newest jobs.
pub const PREFIX_JOBS_MAX: u64 = 10_000_000;
/// Candidates that an ambiguous prefix lists.
pub const PREFIX_CANDIDATES_MAX: usize = 5;

// ---- Logs of the system -----------------------------------------------------------------------------------------------

/// A log filter that somebody asks a running process for.
pub const LOG_FILTER_BYTES_MAX: usize = 1_024;
/// How long another filter holds where nobody says, and at most: it goes by itself, so that nobody forgets it.
pub const LOG_FILTER_FOR: Millis = Millis::from_secs(15 * 60);
pub const LOG_FILTER_FOR_MAX: Millis = Millis::from_secs(24 * 3600);
/// A worker tells its filter to whoever asked for it within this; so does a master.
pub const LOG_FILTER_ANSWER_WITHIN: Millis = Millis(5_000);
/// Questions about filters that workers have not answered yet.
pub const LOG_FILTER_ASKED_MAX: usize = 1_024;

// ---- Prices -----------------------------------------------------------------------------------------------------------

/// What a worker may cost per hour, in millionths: a million.
pub const PRICE_MICROS_MAX: u64 = 1_000_000_000_000;

// ---- Traces of what happens -------------------------------------------------------------------------------------------

/// A W3C trace parent as text. Those of version 00 have 55 bytes.
pub const TRACE_PARENT_BYTES_MAX: usize = 64;
/// Traces that a master begins in a second for submits that bring none, when its configuration does not say otherwise: all of a quiet cluster's,
/// and next to nothing of a flood.
pub const TRACING_NEW_PER_SECOND: u32 = 10;
/// Only the first indexes of a job have spans: nobody reads a tree of a million.
pub const TRACED_TASKS_OF_JOB: u32 = 100;
/// Jobs of which a leader remembers whether they are traced; of others it asks the row again.
pub const TRACED_JOBS_KNOWN_MAX: usize = 65_536;
/// Spans of one process that no collector has taken yet (some 500 bytes each). More are dropped, and counted.
pub const TRACING_SPANS_QUEUED_MAX: usize = 4_096;
/// Spans of one message to the collector; a message leaves when it is full, or this long after its first span.
pub const TRACING_BATCH_SPANS_MAX: usize = 512;
pub const TRACING_EXPORT_EVERY: Millis = Millis(500);
/// A collector that has not taken a message by then does not get it.
pub const TRACING_EXPORT_WITHIN: Millis = Millis(3_000);
/// A process that ends waits so long for its last spans to leave.
pub const TRACING_FLUSH_WITHIN: Millis = Millis(1_000);
/// A template of links to traces.
pub const TRACING_LINK_BYTES_MAX: usize = 2_048;

// ---- Workload traces --------------------------------------------------------------------------------------------------

/// Jobs of one trace; the largest published logs have some millions.
pub const TRACE_JOBS_MAX: usize = 10_000_000;
/// One line of a trace, and all lines of it once unpacked.
pub const TRACE_LINE_BYTES_MAX: usize = 64 << 10;
pub const TRACE_BYTES_MAX: u64 = 4 << 30;
/// A trace that is one document and not lines; it is in memory twice while it is parsed.
pub const TRACE_DOCUMENT_BYTES_MAX: usize = 256 << 20;
/// Any time in a trace, in seconds (3,000 years): sums of them cannot overflow.
pub const TRACE_SECONDS_MAX: u64 = 100_000_000_000;
/// Windows of one replay.
pub const REPLAY_WINDOWS_MAX: usize = 10_000;
/// Seeds that one replay averages.
pub const REPLAY_SEEDS_MAX: u64 = 1_000;
/// Steps into which a replay's time is cut to tell how busy the machine was.
pub const REPLAY_TIMELINE_STEPS_MAX: usize = 120;
/// Policies of one comparison, and those of them whose utilisation is drawn: more lines than colours cannot be read.
pub const REPLAY_POLICIES_MAX: usize = 100;
pub const REPLAY_LINES_MAX: usize = 6;
/// Short jobs count as if they ran so long in a bounded slowdown ("tau"), as in the published tables.
pub const REPLAY_SLOWDOWN_BOUND: Millis = Millis::from_secs(10);
/// Who waits longer counts as starved in a replay's report.
pub const REPLAY_STARVED_AFTER: Millis = Millis::from_secs(5 * 24 * 3600);
