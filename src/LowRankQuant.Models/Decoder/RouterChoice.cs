namespace LowRankQuant.Models.Decoder;

/// <summary>Which experts the tokens of a pass went to, and how many went to each since the count began.</summary>
public sealed class RouterChoice
{
    /// <summary>Experts of the last pass, those of a token side by side; null before the first.</summary>
    public int[]? Last { get; private set; }

    /// <summary>Experts that the next passes take whatever their router says; null for the router's own choice.</summary>
    public int[]? Given { get; set; }

    /// <summary>Tokens that every expert got, [experts].</summary>
    public long[] Tokens { get; private set; } = [];

    /// <summary>Begins the count again.</summary>
    public void Reset() => Array.Clear(Tokens);

    internal void Note(int[] chosen, int experts)
    {
        Last = chosen;
        if (Tokens.Length != experts) Tokens = new long[experts];
        foreach (int expert in chosen) Tokens[expert]++;
    }
}
