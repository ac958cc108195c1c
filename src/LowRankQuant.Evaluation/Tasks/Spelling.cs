namespace LowRankQuant.Evaluation.Tasks;

/// <summary>Finds the word that a misspelt one was meant to be.</summary>
internal static class Spelling
{
    // More changes make another word of most.
    private const int MostChanges = 2;

    /// <summary>A question that names the nearest of the words, to be appended to a message; empty when none is near.</summary>
    public static string Suggest(string word, IEnumerable<string> known)
    {
        (string Name, int Changes) nearest = known.Select(name => (name, Changes(word.ToUpperInvariant(), name.ToUpperInvariant()))).MinBy(pair => pair.Item2);
        return nearest.Name is not null && nearest.Changes <= Math.Min(MostChanges, word.Length / 2) ? $" (did you mean '{nearest.Name}'?)" : "";
    }

    /// <summary>Letters to change, add or leave out (Levenshtein distance).</summary>
    private static int Changes(string from, string to)
    {
        int[] row = [.. Enumerable.Range(0, to.Length + 1)];
        for (int i = 1; i <= from.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= to.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(diagonal + (from[i - 1] == to[j - 1] ? 0 : 1), Math.Min(above, row[j - 1]) + 1);
                diagonal = above;
            }
        }
        return row[^1];
    }
}
