using System.Globalization;

namespace LowRankQuant.Cli.Options;

/// <summary>Sizes as people write them: <c>512M</c>, <c>4G</c>, <c>1.5GiB</c>. Units are powers of 1024, with or without B or iB; none means bytes.</summary>
internal static class MemorySize
{
    public const string Form = "a size such as 512M, 4G or 1.5G";

    private static readonly string[] Units = ["", "K", "M", "G", "T"];

    public static long? Parse(string text)
    {
        string rest = text.Trim().ToUpperInvariant();
        if (rest.EndsWith("IB", StringComparison.Ordinal)) rest = rest[..^2];
        else if (rest.EndsWith('B')) rest = rest[..^1];
        int power = rest.Length == 0 ? 0 : Math.Max(0, Array.IndexOf(Units, rest[^1].ToString()));
        if (power > 0) rest = rest[..^1];
        const NumberStyles style = NumberStyles.AllowDecimalPoint | NumberStyles.AllowTrailingWhite;
        if (!double.TryParse(rest, style, CultureInfo.InvariantCulture, out double number)) return null;
        double bytes = number * Math.Pow(1024, power);
        return double.IsFinite(bytes) && bytes >= 1 && bytes < long.MaxValue ? (long)bytes : null;
    }

    /// <summary>A size for people: three digits and a binary unit.</summary>
    public static string Format(long bytes)
    {
        double value = bytes;
        int unit = 0;
        while (Math.Abs(value) >= 1000 && unit < Units.Length - 1)
        {
            value /= 1024;
            unit++;
        }
        string digits = unit == 0 ? "0" : Math.Abs(value) < 9.995 ? "0.00" : Math.Abs(value) < 99.95 ? "0.0" : "0";
        return value.ToString(digits, CultureInfo.InvariantCulture) + (unit == 0 ? " B" : $" {Units[unit]}iB");
    }
}
