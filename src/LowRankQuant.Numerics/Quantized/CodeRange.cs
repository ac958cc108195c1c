namespace LowRankQuant.Numerics.Quantized;

/// <summary>Where the values of a group's codes end: the least and the largest of them, and from each the distance to its neighbour inwards.</summary>
/// <param name="Low">The least value.</param>
/// <param name="LowStep">From it to the next.</param>
/// <param name="High">The largest value.</param>
/// <param name="HighStep">From it to the one before.</param>
public readonly record struct CodeRange(double Low, double LowStep, double High, double HighStep)
{
    /// <summary>The range of evenly spaced values between two ends, in whichever order.</summary>
    /// <param name="first">The value of the least code.</param>
    /// <param name="last">The value of the largest.</param>
    /// <param name="step">From one value to the next; may be negative.</param>
    public static CodeRange Even(double first, double last, double step) => new(Math.Min(first, last), Math.Abs(step), Math.Max(first, last), Math.Abs(step));

    /// <summary>Whether a number is clipped where it is rounded to the nearest code: it lies beyond an end by more than half the step there.</summary>
    public bool Clips(double value) => value < Low - (LowStep / 2) || value > High + (HighStep / 2);
}
