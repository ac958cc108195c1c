namespace LowRankQuant.Quantization.Planning;

/// <summary>
/// The shortest of some times of the same work: that of a small block takes hardly longer than what disturbs it. Work that takes long is timed once.
/// </summary>
internal static class ShortestTime
{
    private const int Times = 8;
    private const double LongSeconds = 0.3;

    /// <summary>The shortest time, in seconds.</summary>
    /// <param name="once">Does the work once and gives its seconds.</param>
    public static double Of(Func<double> once)
    {
        double best = double.PositiveInfinity, spent = 0;
        for (int i = 0; i < Times && spent < LongSeconds; i++)
        {
            double seconds = once();
            spent += seconds;
            best = Math.Min(best, seconds);
        }
        return best;
    }
}
