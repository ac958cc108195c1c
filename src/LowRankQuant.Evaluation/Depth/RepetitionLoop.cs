namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// Whether a text ends in a cycle: its last tokens are one sequence over and over, at least three times in full and over at least twelve tokens, so that a word said twice or a row
/// of dots is none. A text that came to its end by a token that ends it does not loop.
/// </summary>
public static class RepetitionLoop
{
    /// <summary>Times that a sequence stands there at least.</summary>
    public const int Repeats = 3;

    /// <summary>Tokens that the repetition covers at least.</summary>
    public const int LeastTokens = 12;

    /// <summary>The shortest sequence that the tokens end in over and over; 0 where they do not.</summary>
    /// <param name="tokens">Token ids of the text that was generated.</param>
    /// <returns>Tokens of the sequence.</returns>
    public static int PeriodOf(ReadOnlySpan<int> tokens)
    {
        for (int period = 1; period * Repeats <= tokens.Length; period++)
        {
            int covered = period;
            while (covered < tokens.Length && tokens[^(covered + 1)] == tokens[^(covered + 1 - period)]) covered++;
            if (covered >= Math.Max(period * Repeats, LeastTokens)) return period;
        }
        return 0;
    }
}
