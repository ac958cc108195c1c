namespace LowRankQuant.Cli;

/// <summary>Work that was stopped and has kept nothing to go on from.</summary>
/// <param name="message">What the user is told.</param>
internal sealed class StoppedException(string message) : OperationCanceledException(message);
