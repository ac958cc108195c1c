namespace LowRankQuant.Quantization.Grids;

/// <summary>Steps and zero points of one weight, one of each per group, before the step is rounded to its stored type.</summary>
/// <param name="Steps">[outFeatures * groups], or one element; positive.</param>
/// <param name="Zeros">As the steps: integers 0..2^bits-1.</param>
public sealed record GridParameters(float[] Steps, byte[] Zeros);
