using System.Globalization;

namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>Figures and names as people read them, the same on every system.</summary>
internal static class Figure
{
    /// <summary>Stands where nothing was measured.</summary>
    public const string Absent = "–";

    private static readonly string[] Units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>Four significant digits, or as many as asked for; with an exponent only where that reads better.</summary>
    public static string Number(double? value, int digits = 4)
    {
        if (value is not { } number) return Absent;
        if (!double.IsFinite(number)) return "not a number";
        double size = Math.Abs(number);
        if (size != 0 && (size < 1e-4 || size >= 1e7)) return number.ToString("0." + new string('#', digits - 1) + "e0", CultureInfo.InvariantCulture);
        int decimals = size == 0 ? 0 : Math.Clamp(digits - 1 - (int)Math.Floor(Math.Log10(size)), 0, 7);
        return number.ToString("F" + decimals.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }

    /// <summary>A figure with its standard error, to the digits that the error leaves.</summary>
    public static string WithError(double? value, double? error) => value is { } number && error is { } off && double.IsFinite(number) && double.IsFinite(off)
        ? $"{Number(number)} ± {Number(off, 2)}" : Number(value);

    /// <summary>A share of one in percent.</summary>
    public static string Percent(double? share, double? error = null)
    {
        if (share is not { } value) return Absent;
        if (!double.IsFinite(value)) return "not a number";
        string text = (value * 100).ToString("F2", CultureInfo.InvariantCulture);
        return error is { } off && double.IsFinite(off) ? $"{text} ± {(off * 100).ToString("F2", CultureInfo.InvariantCulture)} %" : $"{text} %";
    }

    /// <summary>A share of one in percent, three significant digits of it however small it is.</summary>
    public static string SmallShare(double? share) => share is { } value && double.IsFinite(value) ? $"{Number(100 * value, 3)} %" : Number(share);

    /// <summary>Bits per weight.</summary>
    public static string Bits(double? bits) => bits is not { } value ? Absent : double.IsFinite(value) ? value.ToString("0.00#", CultureInfo.InvariantCulture) : "not a number";

    /// <summary>A count.</summary>
    public static string Count(double? count) => count is { } value && double.IsFinite(value) ? value.ToString("N0", CultureInfo.InvariantCulture) : Absent;

    /// <summary>Bytes in binary units.</summary>
    public static string Bytes(double? bytes)
    {
        if (bytes is not { } left || !double.IsFinite(left)) return Absent;
        int unit = 0;
        for (; Math.Abs(left) >= 1024 && unit < Units.Length - 1; unit++) left /= 1024;
        return $"{left.ToString(unit == 0 ? "0" : left < 10 ? "0.00" : left < 100 ? "0.0" : "0", CultureInfo.InvariantCulture)} {Units[unit]}";
    }

    /// <summary>A duration as one would say it.</summary>
    public static string Duration(double seconds)
    {
        if (!double.IsFinite(seconds) || Math.Abs(seconds) > 1e9) return Absent;
        if (seconds < 59.95) return seconds.ToString("0.0", CultureInfo.InvariantCulture) + " s";
        long whole = (long)Math.Round(seconds);
        return whole < 3600 ? string.Create(CultureInfo.InvariantCulture, $"{whole / 60} min {whole % 60:00} s") : string.Create(CultureInfo.InvariantCulture, $"{whole / 3600} h {whole % 3600 / 60:00} min");
    }

    /// <summary>A text of at most so many letters, its middle left out where it is longer.</summary>
    public static string Short(string? text, int most)
    {
        if (text is null) return "";
        if (text.Length <= most) return text;
        int head = (most - 1) / 2;
        return $"{text[..head]}…{text[^(most - 1 - head)..]}";
    }

    /// <summary>About how wide a text is, in pixels; rather more than less.</summary>
    public static double Width(string text, double size = 12) => text.Sum(letter => letter switch
    {
        'i' or 'l' or 'j' or 'I' or '.' or ',' or ':' or ';' or '\'' or '|' or ' ' => 0.34,
        'm' or 'w' or 'M' or 'W' or '%' => 0.95,
        '_' or '±' => 0.62,
        >= 'A' and <= 'Z' => 0.74,
        < '\u0250' => 0.61,
        _ => 1.05,
    }) * size;
}
