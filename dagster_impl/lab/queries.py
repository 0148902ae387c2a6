"""The documents of Dagster's GraphQL API that the verbs need."""

READY = """
{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
    __typename ... on PythonError { className message causes { message } } } } } } }
"""

PARTITIONS = """
query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
  __typename
  ... on AssetNode { partitionKeys }
  ... on AssetNotFoundError { message } } }
"""

LAUNCH = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename
  ... on LaunchBackfillSuccess { backfillId }
  ... on Error { message } } }
"""

PROGRESS = """
query ($id: String!, $limit: Int!) { partitionBackfillOrError(backfillId: $id) {
  __typename
  ... on PartitionBackfill { status error { message } runs(limit: $limit) { id status creationTime tags { key value } }
  } ... on Error { message } } }
"""

STEPS = """
query ($ids: [String!]) { runsOrError(filter: { runIds: $ids }) {
  __typename
  ... on Runs { results { id stepStats { stepKey status attempts { startTime } } } }
  ... on Error { message } } }
"""

CANCEL = """
mutation ($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  __typename
  ... on Error { message } } }
"""

BACKFILLS = """
query ($tag: ExecutionTag!) { runsFeedOrError(limit: 1, view: BACKFILLS, filter: {tags: [$tag]}) {
  __typename
  ... on RunsFeedConnection { results { id } }
  ... on Error { message } } }
"""

RETRY = """
mutation ($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { id } }
  ... on Error { message } } }
"""

RUN = """
query ($id: ID!, $cursor: String) { runOrError(runId: $id) {
  __typename
  ... on Run {
    id status jobName creationTime startTime endTime tags { key value } repositoryOrigin { repositoryLocationName }
    stats { ... on RunStatsSnapshot { launchTime } }
    assetSelection { path } stepKeysToExecute executionPlan { steps { key } }
    stepStats { stepKey status startTime endTime attempts { startTime } markers { startTime }
      materializations { metadataEntries { ...value } } }
    eventConnection(afterCursor: $cursor) { cursor hasMore events { __typename
      ... on ExecutionStepFailureEvent { failureMetadata { description } error { message causes { message } } }
      ... on ExecutionStepOutputEvent { stepKey metadataEntries { ...value } }
      ... on LogMessageEvent { stepKey timestamp }
      ... on RunFailureEvent { message }
      ... on AssetCheckEvaluationEvent { evaluation { success severity description } } } } }
  ... on Error { message } } }
fragment value on MetadataEntry { label
  ... on TextMetadataEntry { text }
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatRepr }
  ... on BoolMetadataEntry { boolValue }
  ... on JsonMetadataEntry { jsonString }
  ... on PathMetadataEntry { path }
  ... on UrlMetadataEntry { url }
  ... on MarkdownMetadataEntry { mdStr }
  ... on TimestampMetadataEntry { timestamp } }
"""

REPOSITORIES = """
{ repositoriesOrError {
  __typename
  ... on RepositoryConnection { nodes { name location { name } pipelines { name } } }
  ... on Error { message } } }
"""

JOB_PARTITIONS = """
query ($selector: PipelineSelector!) { pipelineOrError(params: $selector) {
  __typename
  ... on Pipeline { partitionKeysOrError { partitionKeys } }
  ... on Error { message } } }
"""

LAUNCH_RUN = """
mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { id } }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on Error { message } } }
"""

RUNS = """
query ($filter: RunsFilter!, $limit: Int!, $cursor: String) {
  runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {
    __typename
    ... on Runs { results { id status jobName creationTime startTime endTime tags { key value } assetSelection { path }
      repositoryOrigin { repositoryLocationName } } }
    ... on Error { message } } }
"""

TERMINATE = """
mutation ($id: String!) { terminateRun(runId: $id) {
  __typename
  ... on TerminateRunFailure { message run { status } }
  ... on Error { message } } }
"""

DELETE = """
mutation ($id: String!) { deleteRun(runId: $id) {
  __typename
  ... on Error { message } } }
"""

LIMIT = """
mutation ($name: String!, $slots: Int!) { setConcurrencyLimit(concurrencyKey: $name, limit: $slots) }
"""

PROCESSES = """
{ runsOrError(filter: { statuses: [STARTING, STARTED, CANCELING] }) {
  __typename
  ... on Runs { results { id eventConnection { events {
    ... on EngineEvent { metadataEntries { label ... on TextMetadataEntry { text } } } } } } }
  ... on Error { message } } }
"""

SCHEDULES = """
query ($repository: RepositorySelector!) { schedulesOrError(repositorySelector: $repository) {
  __typename
  ... on Schedules { results { name pipelineName scheduleState { id } } }
  ... on Error { message } } }
"""

START_SCHEDULE = """
mutation ($schedule: ScheduleSelector!) { startSchedule(scheduleSelector: $schedule) {
  __typename
  ... on Error { message } } }
"""

STOP_SCHEDULE = """
mutation ($id: String!) { stopRunningSchedule(id: $id) {
  __typename
  ... on Error { message } } }
"""

PAST_TICKS = """
query ($schedule: ScheduleSelector!, $since: Float!, $until: Float!) { scheduleOrError(scheduleSelector: $schedule) {
  __typename
  ... on Schedule { futureTicks(cursor: $since, until: $until) { results { timestamp
    evaluationResult { runRequests { runConfigYaml tags { key value } } error { message } } } } }
  ... on Error { message } } }
"""

PARTITION_STATUSES = """
query ($repository: RepositorySelector!, $name: String!) {
  partitionSetOrError(repositorySelector: $repository, partitionSetName: $name) {
    __typename
    ... on PartitionSet { partitionStatusesOrError { __typename
      ... on PartitionStatuses { results { partitionName runStatus } } ... on Error { message } } }
    ... on Error { message } } }
"""
