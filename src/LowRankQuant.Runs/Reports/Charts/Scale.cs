using System.Globalization;

namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>From figures to pixels along one side of a chart. Never more than a few ticks, whatever the figures are.</summary>
internal sealed class Scale
{
    private readonly double _low, _high, _from, _to;
    private readonly bool _logarithmic;

    private Scale(double low, double high, double from, double to, bool logarithmic, IReadOnlyList<double> ticks) =>
        (_low, _high, _from, _to, _logarithmic, Ticks) = (low, high, from, to, logarithmic, ticks);

    /// <summary>Where lines and numbers stand.</summary>
    public IReadOnlyList<double> Ticks { get; }

    /// <summary>Where a figure lies.</summary>
    public double this[double figure] => Math.Clamp(_from + (((_logarithmic ? Math.Log10(Math.Max(figure, double.Epsilon)) : figure) - _low) / (_high - _low) * (_to - _from)), Math.Min(_from, _to), Math.Max(_from, _to));

    /// <summary>Even steps.</summary>
    /// <param name="figures">What is drawn; numbers that are not finite are left out.</param>
    /// <param name="from">Pixel of the least.</param>
    /// <param name="to">Pixel of the largest.</param>
    /// <param name="zero">Whether it begins at 0.</param>
    /// <param name="most">Ticks at most, about.</param>
    public static Scale Linear(IEnumerable<double> figures, double from, double to, bool zero = false, int most = 6)
    {
        double[] drawn = [.. figures.Where(IsDrawn)];
        double low = drawn.DefaultIfEmpty(0).Min(), high = drawn.DefaultIfEmpty(1).Max();
        if (zero) (low, high) = (Math.Min(0, low), Math.Max(0, high));
        else (low, high) = (low - (0.06 * (high - low)), high + (0.06 * (high - low)));
        if (!(high - low > 1e-9 * Math.Max(Math.Abs(low), Math.Abs(high)))) (low, high) = zero ? (0, 1) : (low - Math.Max(0.05 * Math.Abs(low), 0.5), high + Math.Max(0.05 * Math.Abs(high), 0.5));
        double step = Step((high - low) / most);
        var ticks = new List<double>();
        double first = Math.Ceiling((low / step) - 1e-9);
        for (int i = 0; i <= 2 * most && (first + i) * step <= high + (1e-9 * step); i++) ticks.Add((first + i) * step);
        if (zero && ticks.Count > 0 && ticks[^1] < high) high += 0.02 * (high - low);
        return new Scale(low, high, from, to, logarithmic: false, ticks);
    }

    /// <summary>Whole numbers from one to another, such as blocks.</summary>
    public static Scale Whole(int low, int high, double from, double to, int most = 8)
    {
        int step = Math.Max(1, (int)Math.Ceiling(Step((high - low + 1.0) / most)));
        return new Scale(low - 0.5, high + 0.5, from, to, logarithmic: false, [.. Enumerable.Range(0, ((high - low) / step) + 1).Select(i => (double)(low + (i * step)))]);
    }

    /// <summary>A scale of logarithms; figures of 0 and less have no place on it.</summary>
    /// <inheritdoc cref="Linear"/>
    public static Scale Logarithmic(IEnumerable<double> figures, double from, double to, int most = 6)
    {
        double[] drawn = [.. figures.Where(figure => IsDrawn(figure) && figure > 0).Select(Math.Log10)];
        double low = drawn.DefaultIfEmpty(-1).Min(), high = drawn.DefaultIfEmpty(0).Max(), margin = Math.Max(0.05, 0.06 * (high - low));
        (low, high) = (low - margin, high + margin);
        int first = (int)Math.Floor(low), last = (int)Math.Ceiling(high), stride = Math.Max(1, (last - first) / most);
        double[] digits = high - low > 2.2 ? [1] : high - low > 1.1 ? [1, 3] : high - low > 0.5 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
        double[] ticks = [.. Enumerable.Range(0, ((last - first) / stride) + 1).SelectMany(i => digits.Select(digit => digit * Math.Pow(10, first + (i * stride)))).Where(tick => tick > 0 && Math.Log10(tick) >= low && Math.Log10(tick) <= high)];
        if (ticks.Length == 0) ticks = [Math.Pow(10, (low + high) / 2)];
        for (; ticks.Length > most + 1;) ticks = [.. ticks.Where((_, i) => i % 2 == 0)];
        return new Scale(low, high, from, to, logarithmic: true, ticks);
    }

    /// <summary>A tick's number.</summary>
    public static string Label(double tick)
    {
        double size = Math.Abs(tick);
        return size != 0 && (size < 1e-3 || size >= 1e5) ? tick.ToString("0.#e0", CultureInfo.InvariantCulture) : Math.Round(tick, 6).ToString("0.####", CultureInfo.InvariantCulture);
    }

    private static bool IsDrawn(double figure) => double.IsFinite(figure) && Math.Abs(figure) < 1e100;

    private static double Step(double raw)
    {
        if (!(raw > 0) || !double.IsFinite(raw)) return 1;
        double power = Math.Pow(10, Math.Floor(Math.Log10(raw))), share = raw / power;
        return (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10) * power;
    }
}
