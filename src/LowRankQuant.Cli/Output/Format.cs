using System.Globalization;

namespace LowRankQuant.Cli.Output;

/// <summary>Numbers for people, the same on every system.</summary>
internal static class Format
{
    public const string Absent = "-";

    /// <summary>Four significant digits, without an exponent where that reads well.</summary>
    public static string Number(double? value)
    {
        if (value is not { } number) return Absent;
        if (!double.IsFinite(number)) return number.ToString(CultureInfo.InvariantCulture);
        double size = Math.Abs(number);
        if (size != 0 && (size < 1e-3 || size >= 1e6)) return number.ToString("0.000e+0", CultureInfo.InvariantCulture);
        int decimals = size == 0 ? 0 : Math.Clamp(3 - (int)Math.Floor(Math.Log10(size)), 0, 6);
        return number.ToString("F" + decimals.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }

    public static string WithError(double? value, double? error) =>
        value is null || error is null ? Number(value) : $"{Number(value)} ± {error.Value.ToString("G2", CultureInfo.InvariantCulture)}";

    public static string Percent(double? share, double? error = null)
    {
        if (share is not { } value) return Absent;
        string text = (value * 100).ToString("F2", CultureInfo.InvariantCulture);
        return error is { } e ? $"{text} ± {(e * 100).ToString("F2", CultureInfo.InvariantCulture)} %" : $"{text} %";
    }

    public static string Bits(double? bits) => bits is { } value ? value.ToString("F2", CultureInfo.InvariantCulture) : Absent;

    public static string Count(long? count) => count is { } value ? value.ToString("N0", CultureInfo.InvariantCulture) : Absent;

    public static string Bytes(long? bytes) => bytes is { } value ? Options.MemorySize.Format(value) : Absent;

    /// <summary>A duration as one would say it: <c>8.1 s</c>, <c>4 min 05 s</c>, <c>2 h 03 min</c>.</summary>
    public static string Duration(double seconds)
    {
        if (!double.IsFinite(seconds)) return Absent;
        if (seconds < 59.95) return seconds.ToString("F1", CultureInfo.InvariantCulture) + " s";
        long whole = (long)Math.Round(seconds);
        return whole < 3600
            ? string.Create(CultureInfo.InvariantCulture, $"{whole / 60} min {whole % 60:00} s")
            : string.Create(CultureInfo.InvariantCulture, $"{whole / 3600} h {whole % 3600 / 60:00} min");
    }
}
