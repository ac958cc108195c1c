namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>What a token leaves on a tape that records, in numbers. Gradients, of which there are as many as values, are counted by who asks.</summary>
/// <param name="Values">Values of all operations, states of recurrences among them.</param>
/// <param name="Inputs">Inputs of linears, each once: as many numbers quantizers in front of them leave besides.</param>
public readonly record struct TapeNumbers(long Values, long Inputs)
{
    /// <summary>What two parts leave.</summary>
    public static TapeNumbers operator +(TapeNumbers one, TapeNumbers other) => new(one.Values + other.Values, one.Inputs + other.Inputs);

    /// <summary>What part leaves that is done so often.</summary>
    public static TapeNumbers operator *(long times, TapeNumbers part) => new(times * part.Values, times * part.Inputs);
}
