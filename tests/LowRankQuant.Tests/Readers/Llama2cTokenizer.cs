using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace LowRankQuant.Tests.Readers;

/// <summary>
/// The tokenizer of llama2.c: pieces with scores; text starts as characters after a space, and the neighbouring pair whose piece has the highest
/// score is merged until none is left. 0 unknown, 1 begin, 2 end.
/// </summary>
/// <remarks>
/// .bin, little-endian: int32 max_token_length, then for each piece a float32 score, an int32 length and that many bytes of UTF-8.
/// .vocab (SentencePiece's text export): a line per piece, tab, score; U+2581 stands for a space.
/// </remarks>
internal sealed class Llama2cTokenizer
{
    public const int Begin = 1;
    public const int End = 2;
    private const int FirstByteToken = 3;

    private readonly Dictionary<string, int> _ids = [];

    private Llama2cTokenizer(List<string> pieces, List<float> scores)
    {
        (Pieces, Scores) = (pieces, scores);
        for (int id = 0; id < pieces.Count; id++) _ids.TryAdd(pieces[id], id);
        HasByteTokens = pieces.Count >= FirstByteToken + 256 && pieces[FirstByteToken] == "<0x00>";
    }

    public IReadOnlyList<string> Pieces { get; }

    public IReadOnlyList<float> Scores { get; }

    /// <summary>Whether ids 3 to 258 are the 256 bytes; without them unknown characters are dropped.</summary>
    public bool HasByteTokens { get; }

    public static Llama2cTokenizer LoadBinary(string path, int vocabularySize)
    {
        ReadOnlySpan<byte> rest = File.ReadAllBytes(path);
        if (rest.Length < 4) throw new InvalidDataException("The tokenizer file is shorter than its first field.");
        int longest = BinaryPrimitives.ReadInt32LittleEndian(rest);
        rest = rest[4..];
        List<string> pieces = [];
        List<float> scores = [];
        while (rest.Length > 0)
        {
            if (rest.Length < 8) throw new InvalidDataException($"Piece {pieces.Count} is cut off.");
            float score = BinaryPrimitives.ReadSingleLittleEndian(rest);
            int length = BinaryPrimitives.ReadInt32LittleEndian(rest[4..]);
            // Begin and end are exported with newlines around them that the longest length does not count.
            if (length < 0 || length > Math.Max(longest, 6) || length > rest.Length - 8)
                throw new InvalidDataException($"Piece {pieces.Count} claims {length} bytes; {rest.Length - 8} are left, the longest has {longest}.");
            pieces.Add(Encoding.UTF8.GetString(rest.Slice(8, length)));
            scores.Add(score);
            rest = rest[(8 + length)..];
        }
        if (pieces.Count != vocabularySize)
            throw new InvalidDataException($"The tokenizer holds {pieces.Count} pieces where the model has {vocabularySize}.");
        return new(pieces, scores);
    }

    public static Llama2cTokenizer LoadVocab(string path)
    {
        List<string> pieces = [];
        List<float> scores = [];
        // Split by hand: File.ReadLines would also split at other line ends, and pieces may hold any character.
        foreach (string line in File.ReadAllText(path).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int tab = line.LastIndexOf('\t');
            if (tab < 1) throw new InvalidDataException($"Line {pieces.Count + 1} of the vocabulary has no piece and score: '{line}'.");
            pieces.Add(line[..tab].Replace('\u2581', ' '));
            scores.Add(float.Parse(line.AsSpan(tab + 1), CultureInfo.InvariantCulture));
        }
        return new(pieces, scores);
    }

    public int[] Encode(string text, bool begin = true)
    {
        List<int> ids = begin ? [Begin] : [];
        int start = ids.Count;
        if (text.Length > 0) ids.Add(_ids[" "]);
        foreach (Rune rune in text.EnumerateRunes())
        {
            string character = rune.ToString();
            if (_ids.TryGetValue(character, out int id)) ids.Add(id);
            else if (HasByteTokens) ids.AddRange(Encoding.UTF8.GetBytes(character).Select(value => value + FirstByteToken));
        }
        while (true)
        {
            (float best, int at, int merged) = (float.NegativeInfinity, -1, -1);
            for (int i = start; i < ids.Count - 1; i++)
            {
                if (_ids.TryGetValue(Pieces[ids[i]] + Pieces[ids[i + 1]], out int id) && Scores[id] > best) (best, at, merged) = (Scores[id], i, id);
            }
            if (at < 0) return [.. ids];
            ids[at] = merged;
            ids.RemoveAt(at + 1);
        }
    }

    /// <summary>The text of ids; begin, end and unknown give nothing, and the space before the first character is removed after begin.</summary>
    public string Decode(ReadOnlySpan<int> ids)
    {
        List<byte> bytes = [];
        bool first = ids.Length > 0 && ids[0] == Begin;
        foreach (int id in ids)
        {
            if (id < FirstByteToken) continue;
            if (HasByteTokens && id < FirstByteToken + 256) bytes.Add((byte)(id - FirstByteToken));
            else bytes.AddRange(Encoding.UTF8.GetBytes(first && Pieces[id][0] == ' ' ? Pieces[id][1..] : Pieces[id]));
            first = false;
        }
        return Encoding.UTF8.GetString([.. bytes]);
    }
}
