using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>Steps and zero points of a static grid of activations or of a cache, as a checkpoint stores them.</summary>
/// <remarks>
/// | tensor | shape |
/// | --- | --- |
/// | input_scale, k_scale, v_scale | BF16, F16 or F32 [1], by heads [heads, 1, 1] |
/// | input_zero_point, k_zero_point, v_zero_point, asymmetric only | I8 shaped as the scale |
/// </remarks>
/// <param name="Steps">One, or one a head; widened from the stored type.</param>
/// <param name="ZeroPoints">As many signed ones; empty where they are 0.</param>
public sealed record StoredActivationSteps(float[] Steps, float[] ZeroPoints)
{
    /// <summary>Reads them.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="prefix">What stands in front of <c>_scale</c> and <c>_zero_point</c>, such as <c>model.layers.0.self_attn.k</c>.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="heads">Heads, where each has a step of its own.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of another type or size, a step is not positive, or a zero point is no code.</exception>
    public static StoredActivationSteps Read(ISafetensorsSource source, string prefix, ActivationGrid grid, int heads)
    {
        int count = grid.IsPerHead ? heads : 1;
        string units = grid.IsPerHead ? $"{heads} heads have as many steps" : "a tensor has one step";
        TensorEntry scale = source.Require(prefix + "_scale", null, ScaleTypes.Stored);
        if (scale.ElementCount != count) throw source.Refuse("size-mismatch", scale.Name, $"is {scale.Describe()}; {units}.");
        float[] steps = source.ReadScales(scale);
        int wrong = Array.FindIndex(steps, step => step < 0);
        if (wrong >= 0) throw source.Refuse("scale", scale.Name, $"element {wrong} is {steps[wrong]}; steps of activations are positive.");
        if (grid.Symmetric) return new StoredActivationSteps(steps, []);
        TensorEntry zero = source.Require(prefix + "_zero_point", null, SafetensorsType.I8);
        if (zero.ElementCount != count) throw source.Refuse("size-mismatch", zero.Name, $"is {zero.Describe()}; {units}.");
        var stored = new sbyte[count];
        source.Read(zero.Name, stored.AsSpan());
        foreach (sbyte value in stored)
        {
            if (value < grid.LeastZeroPoint || value > grid.MostZeroPoint) throw source.Refuse("code-range", zero.Name, $"zero point {value} does not fit {grid.Bits} bits.");
        }
        return new StoredActivationSteps(steps, Array.ConvertAll(stored, value => (float)value));
    }
}
