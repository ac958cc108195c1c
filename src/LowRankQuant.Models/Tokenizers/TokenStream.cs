using System.Globalization;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>
/// The token ids of a text of any length, read and tokenized part by part. The ids are those of the whole text: a part ends only where no stage of the
/// tokenizer can look across. Memory is that of a part; where a text has no such place for long, or the tokenizer knows none, the part grows.
/// </summary>
/// <param name="tokenizer">The tokenizer.</param>
/// <param name="text">The text; read to its end, not disposed.</param>
/// <param name="partLength">Characters that are read at a time.</param>
public sealed class TokenStream(ITokenizer tokenizer, TextReader text, int partLength = TokenStream.UsualPart)
{
    /// <summary>Characters that are read at a time when nothing else is said.</summary>
    public const int UsualPart = 1 << 16;

    // What a string can hold, with room for what tokenizers put in front.
    private const int LongestPart = (1 << 30) - (1 << 10);

    private readonly IPartTokenizer? _cutter = tokenizer as IPartTokenizer;

    /// <summary>Characters of the longest part so far.</summary>
    public int LongestSoFar { get; private set; }

    /// <summary>The ids of the parts, in order, without the tokens that the tokenizer's own post-processor adds.</summary>
    /// <exception cref="TokenizerException">
    /// The vocabulary has no token for a part of the text, or the text is too long to be tokenized whole and cannot be cut.
    /// </exception>
    public IEnumerable<int[]> Parts()
    {
        char[] buffer = new char[partLength];
        // Between characters in front of this one no cut is allowed.
        int length = 0, searched = 0;
        for (bool first = true, ended = false; !ended;)
        {
            if (length == buffer.Length) Array.Resize(ref buffer, Longer(length));
            length += text.ReadBlock(buffer, length, buffer.Length - length);
            ended = length < buffer.Length;
            int cut = ended ? length : LastCut(buffer.AsSpan(0, length), Math.Max(1, searched));
            if (cut > 0)
            {
                string part = new(buffer, 0, cut);
                LongestSoFar = Math.Max(LongestSoFar, cut);
                yield return first ? tokenizer.Encode(part, addSpecialTokens: false) : _cutter!.EncodeRest(part);
                first = false;
                buffer.AsSpan(cut, length - cut).CopyTo(buffer);
                length -= cut;
            }
            searched = length;
        }
    }

    private int LastCut(ReadOnlySpan<char> read, int from)
    {
        for (int at = read.Length - 1; _cutter is not null && at >= from; at--)
        {
            if (_cutter.MayCut(read[at - 1], read[at])) return at;
        }
        return 0;
    }

    private static int Longer(int length) => length < LongestPart
        ? (int)Math.Min(LongestPart, 2L * length)
        : throw TokenizerException.For("text", length.ToString(CultureInfo.InvariantCulture) + " characters",
            "there is no place in it where it may be cut without other token ids, and it is too long to be tokenized whole", "Cut the text into documents.");
}
