namespace LowRankQuant.Runs.Reports;

/// <summary>What a stage of a run is expected to take.</summary>
/// <param name="Name">As the run itself calls it.</param>
/// <param name="Seconds">Estimated.</param>
public sealed record TimedStage(string Name, double Seconds);
