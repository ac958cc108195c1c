using LowRankQuant.Formats;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation;

/// <summary>Finds text that a model is calibrated on and measured on: such figures say little about other text.</summary>
internal static class TextOverlap
{
    // So many tokens in a row are in two texts by chance only where both hold the same boilerplate.
    private const int Run = 64;

    // Less than this part may be quotations.
    private const double Remarkable = 0.05;

    private const string Remedy = "its figures say little about other text. Give another file to `eval_text`.";

    private const ulong Factor = 0x9E3779B97F4A7C15;

    /// <summary>A sentence about a file that is both; null when it is not.</summary>
    /// <param name="file">The file that is measured on.</param>
    /// <param name="files">The files that it stands for.</param>
    /// <param name="calibration">What is calibrated on.</param>
    /// <param name="windows">The windows that are measured.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static string? Of(string file, IReadOnlyList<string> files, CalibrationSet calibration, IReadOnlyList<TextWindow> windows)
    {
        foreach (CalibrationSource source in calibration.Sources)
        {
            if (source.Sha256 is null) continue;
            if (files.Any(one => Path.GetFullPath(source.Name) == Path.GetFullPath(one)))
                return $"'{file}' is calibrated on and measured on; {Remedy}";
            if (files.Any(one => source.Bytes == FileLength.Of(one) && source.Sha256 == HashOf(one)))
                return $"'{file}', which is measured on, holds the same bytes as '{source.Name}', which is calibrated on; {Remedy}";
        }
        double share = Share(calibration.Windows.Concat(calibration.HeldOutWindows).Concat(calibration.MoreWindows), windows);
        return share < Remarkable ? null
            : FormattableString.Invariant($"{100 * share:F0} % of the windows of '{file}' stand in the calibration text too; {Remedy}");
    }

    /// <summary>The part of the measured text whose runs of 64 tokens are runs of the calibration windows too.</summary>
    internal static double Share(IEnumerable<int[]> calibration, IReadOnlyList<TextWindow> windows)
    {
        var known = new HashSet<ulong>();
        foreach (int[] window in calibration)
        {
            foreach ((_, ulong hash) in Runs(window)) known.Add(hash);
        }
        int found = 0, all = 0;
        foreach (TextWindow window in windows)
        {
            foreach ((int start, ulong hash) in Runs(window.Ids))
            {
                if (start % Run != 0) continue;
                all++;
                if (known.Contains(hash)) found++;
            }
        }
        return all == 0 ? 0 : (double)found / all;
    }

    /// <summary>Hashes of all runs: sums of ids times powers, so that the next is made of the one before.</summary>
    private static IEnumerable<(int Start, ulong Hash)> Runs(int[] ids)
    {
        ulong highest = 1, hash = 0;
        for (int i = 1; i < Run; i++) highest *= Factor;
        for (int i = 0; i < ids.Length; i++)
        {
            if (i >= Run) hash -= ((ulong)ids[i - Run] + 1) * highest;
            hash = (hash * Factor) + (ulong)ids[i] + 1;
            if (i >= Run - 1) yield return (i - Run + 1, hash);
        }
    }

    private static string HashOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(stream));
    }
}
