namespace LowRankQuant.Formats;

/// <summary>How far two words are from each other, to name what somebody may have meant.</summary>
public static class EditDistance
{
    // A pasted text is no misspelt word.
    private const int Longest = 64;

    /// <summary>Edit distance of Levenshtein, where two neighbours that changed places count once.</summary>
    public static int Between(string a, string b)
    {
        if (a.Length > Longest || b.Length > Longest) return int.MaxValue;
        var table = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++) table[i, 0] = i;
        for (int j = 0; j <= b.Length; j++) table[0, j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            for (int j = 1; j <= b.Length; j++)
            {
                int change = table[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                table[i, j] = Math.Min(change, Math.Min(table[i - 1, j], table[i, j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) table[i, j] = Math.Min(table[i, j], table[i - 2, j - 2] + 1);
            }
        }
        return table[a.Length, b.Length];
    }
}
