namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>Dequantization whose codes are learned along with its scales.</summary>
public static class CodeRoundingOperation
{
    // Weights that a thread takes at a time, in whole groups.
    private const int ElementsPerChunk = 1 << 14;

    /// <summary>
    /// y = s (clamp(round(c), 0, maxCode) - zero), c a code that may lie between integers. The rounding counts as the identity (straight-through estimator,
    /// Bengio et al., 2013), the clamp too: whoever learns c keeps it within the cells of the first and the last code. dc = s dy, ds = sum over the group of dy (y / s).
    /// </summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="codes">c, [outFeatures, inFeatures].</param>
    /// <param name="scale">s, [outFeatures, groups].</param>
    /// <param name="zero">The code of the value 0 of every group.</param>
    /// <param name="maxCode">The largest code.</param>
    /// <returns>The weight, [outFeatures, inFeatures]. Computed in host memory up to the units.</returns>
    public static Variable RoundCodes(this Tape tape, Variable codes, Variable scale, float[] zero, int maxCode)
    {
        Tensor units = tape.Rent(codes.Value.Shape), y = tape.Rent(codes.Value.Shape);
        int size = checked((int)(units.Count / zero.Length)), perChunk = Math.Max(1, ElementsPerChunk / size);
        tape.Device.HostWorkers.Run((zero.Length + perChunk - 1) / perChunk, chunk =>
        {
            for (int group = chunk * perChunk; group < Math.Min(zero.Length, (chunk + 1) * perChunk); group++)
            {
                ReadOnlySpan<float> from = codes.Value.Span.Slice(group * size, size);
                Span<float> to = units.Span.Slice(group * size, size);
                for (int i = 0; i < size; i++) to[i] = Math.Clamp(MathF.Round(from[i]), 0, maxCode) - zero[group];
            }
        });
        tape.Kernels.GroupScaleForward(units, scale.Value, y);
        Variable output = tape.Output(y, codes.RequiresGradient || scale.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor dy = output.Gradient!;
            if (scale.RequiresGradient) tape.Kernels.GroupScaleBackward(dy, units, scale.GradientTarget(tape, out bool more), more);
            if (!codes.RequiresGradient) return;
            Tensor target = codes.GradientTarget(tape, out bool accumulate);
            if (!accumulate)
            {
                tape.Kernels.GroupScaleForward(dy, scale.Value, target);
                return;
            }
            Tensor part = tape.Rent(dy.Shape);
            tape.Kernels.GroupScaleForward(dy, scale.Value, part);
            tape.Kernels.AddScaled(part, 1, target);
        });
        return output;
    }
}
