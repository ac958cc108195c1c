namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>y = round(unit x): a parameter in units of its own, rounded to what is stored.</summary>
public static class StraightThroughOperation
{
    /// <summary>Rounds; the gradient passes the rounding as if it were not there: dx = unit dy (straight-through estimator, Bengio et al., 2013).</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">Any shape; small, for it goes through host memory.</param>
    /// <param name="unit">One factor per element of x.</param>
    /// <param name="round">Rounds values in place.</param>
    /// <returns>Shaped as x.</returns>
    public static Variable RoundStraightThrough(this Tape tape, Variable x, float[] unit, Action<float[]> round)
    {
        float[] values = x.Value.ToArray();
        for (int i = 0; i < values.Length; i++) values[i] *= unit[i];
        round(values);
        Tensor y = tape.Rent(x.Value.Shape);
        y.CopyFrom(values);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            Tensor target = x.GradientTarget(tape, out bool accumulate);
            float[] slopes = output.Gradient!.ToArray(), sum = accumulate ? target.ToArray() : new float[slopes.Length];
            for (int i = 0; i < slopes.Length; i++) sum[i] += unit[i] * slopes[i];
            target.CopyFrom(sum);
        });
        return output;
    }
}
