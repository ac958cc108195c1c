namespace LowRankQuant.Quantization.Storage;

/// <summary>What tuning did. Losses are mean KL divergences from full precision in nats per token.</summary>
/// <param name="Steps">Adam steps made.</param>
/// <param name="KeptStep">The step whose parameters were kept; 0 for those that tuning began at.</param>
/// <param name="Measured">What losses were measured on.</param>
/// <param name="Before">Loss before the first step.</param>
/// <param name="After">Loss of what was kept.</param>
/// <param name="Warning">What the user should look at; null for nothing.</param>
public sealed record TuningReport(int Steps, int KeptStep, string Measured, double Before, double After, string? Warning);
