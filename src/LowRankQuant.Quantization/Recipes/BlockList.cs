using System.Globalization;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>Numbers of blocks as people write them: <c>7,9,12-15</c>.</summary>
public static class BlockList
{
    /// <summary>What a list looks like, for messages.</summary>
    public const string Form = "numbers of blocks from 0, such as 7,9 or 12-15";

    // No model has so many blocks, and ranges of strangers are not written out to the end of memory or for ever.
    private const int Most = 100_000;

    /// <summary>Reads a list; null where it is none.</summary>
    /// <param name="text">Numbers and ranges, separated by commas.</param>
    public static IReadOnlyList<int>? Parse(string text)
    {
        var blocks = new SortedSet<int>();
        int named = 0;
        foreach (string part in text.Split(','))
        {
            string[] ends = part.Split('-');
            if (ends.Length > 2 || !Number(ends[0], out int first) || !Number(ends[^1], out int last) || last < first || (named += last - first + 1) > Most) return null;
            for (int block = first; block <= last; block++) blocks.Add(block);
        }
        return [.. blocks];
    }

    /// <summary>Writes a list, neighbours as ranges.</summary>
    /// <param name="blocks">Numbers, rising.</param>
    public static string Text(IReadOnlyList<int> blocks)
    {
        var parts = new List<string>();
        for (int i = 0; i < blocks.Count; i++)
        {
            int first = i;
            while (i + 1 < blocks.Count && blocks[i + 1] == blocks[i] + 1) i++;
            parts.Add(i == first ? $"{blocks[i]}" : i == first + 1 ? $"{blocks[first]},{blocks[i]}" : $"{blocks[first]}-{blocks[i]}");
        }
        return string.Join(',', parts);
    }

    private static bool Number(string text, out int value) =>
        int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out value) && value < Most;
}
