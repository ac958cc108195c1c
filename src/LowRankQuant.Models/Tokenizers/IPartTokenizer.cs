namespace LowRankQuant.Models.Tokenizers;

/// <summary>A tokenizer that can name places where a text may be cut: the ids of the parts, one after the other, are those of the whole.</summary>
internal interface IPartTokenizer : ITokenizer
{
    /// <summary>Whether a text may be cut between two characters, whatever stands before and behind them.</summary>
    /// <param name="before">The last character of a part.</param>
    /// <param name="after">The first character of the next.</param>
    bool MayCut(char before, char after);

    /// <summary>Encodes a part that is not the first: nothing is put in front of it. Special tokens spelled out in the text are recognised.</summary>
    /// <param name="text">The part; what stands before it was cut off where <see cref="MayCut"/> allows it.</param>
    int[] EncodeRest(string text);
}
