using System.Buffers;
using System.Globalization;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.Bpe;

/// <summary>Switches of a byte-pair-encoding model, named as in tokenizer.json.</summary>
internal sealed record BpeOptions
{
    internal string? UnknownToken { get; init; }
    internal string ContinuingSubwordPrefix { get; init; } = "";
    internal string EndOfWordSuffix { get; init; } = "";
    internal bool FuseUnknown { get; init; }
    internal bool ByteFallback { get; init; }
    internal bool IgnoreMerges { get; init; }

    /// <summary>The piece arrives as text and becomes letters of the byte alphabet here, once for each piece that is not cached.</summary>
    internal bool MapsBytes { get; init; }
}

/// <summary>Byte-pair encoding with a list of merges, as in tokenizer.json.</summary>
internal sealed class BpeModel : ITokenModel
{
    private const int LongPiece = 256;
    private readonly BpeOptions _options;
    private readonly MergeTable _merges;
    private readonly int[] _byteTokens;
    private readonly int _unknownId;
    private readonly PieceCache _cache = new();
    private readonly Lazy<SafeSplitter?> _splitter;
    private bool? _mergesReach;

    internal BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    {
        Vocabulary = vocabulary;
        _merges = merges;
        _options = options;
        _byteTokens = vocabulary.ByteTokens();
        _unknownId = -1;
        if (options.UnknownToken is { } unknown)
        {
            _unknownId = vocabulary.Find(unknown) ?? throw TokenizerException.For("model.unk_token", unknown,
                "the unknown token is not in model.vocab", "Add it to the vocabulary or set unk_token to null.");
        }
        _splitter = new Lazy<SafeSplitter?>(BuildSplitter);
    }

    public Vocabulary Vocabulary { get; }

    internal MergeTable Merges => _merges;

    internal BpeOptions Options => _options;

    /// <summary>Looks up the two sides of a merge and what it makes; each must be in the vocabulary.</summary>
    internal static void AddMerge(MergeTable table, Vocabulary vocabulary, string left, string right, int rank, int prefixLength, bool replace)
    {
        string key = string.Create(CultureInfo.InvariantCulture, $"merges[{rank}]");
        int leftId = Require(vocabulary, left, key);
        int rightId = Require(vocabulary, right, key);
        if (prefixLength > right.Length)
            throw TokenizerException.For(key, right, "the right side is shorter than continuing_subword_prefix", "Fetch the file again.");
        int made = Require(vocabulary, string.Concat(left, right.AsSpan(prefixLength)), key);
        table.Add(leftId, rightId, rank, made, replace);
    }

    public void Tokenize(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.Length > LongPiece && _splitter.Value is { } splitter)
        {
            for (int start = 0; start < piece.Length;)
            {
                int end = splitter.NextEnd(piece, start);
                TokenizeCached(piece[start..end], ids);
                start = end;
            }
            return;
        }
        TokenizeCached(piece, ids);
    }

    /// <summary>Whether merges make every token of its own letters, so that ignoring them changes nothing.</summary>
    /// <param name="added">The tokenizer's tokens that are found before pieces are; they are left out.</param>
    internal bool MergesReach(AddedTokens added) => _mergesReach ??= MergesReachAllBut(added);

    private bool MergesReachAllBut(AddedTokens added)
    {
        List<int> ids = [];
        return Vocabulary.Entries.Where(entry => !added.TryGet(entry.Value, out _)).All(entry =>
        {
            ids.Clear();
            EncodeByMerges(entry.Key, ids);
            return ids.Count == 1 && ids[0] == entry.Value;
        });
    }

    public bool MayCut(char before, char after) => _splitter.Value is { } splitter && splitter.MayCut(before, after);

    private void TokenizeCached(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (piece.IsEmpty || _cache.TryAppend(piece, ids)) return;
        int from = ids.Count;
        if (_options.MapsBytes)
        {
            char[] mapped = ArrayPool<char>.Shared.Rent(piece.Length * 3);
            int length = ByteAlphabet.Map(piece, mapped);
            Encode(mapped.AsSpan(0, length), ids);
            ArrayPool<char>.Shared.Return(mapped);
        }
        else
        {
            Encode(piece, ids);
        }
        _cache.Store(piece, ids, from);
    }

    private void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (_options.IgnoreMerges && Vocabulary.TryGetId(piece, out int whole))
        {
            ids.Add(whole);
            return;
        }
        EncodeByMerges(piece, ids);
    }

    private void EncodeByMerges(ReadOnlySpan<char> piece, List<int> ids)
    {
        // A character gives at most one id, or with byte fallback one for each UTF-8 byte: three for each UTF-16 unit.
        int[] symbols = ArrayPool<int>.Shared.Rent(piece.Length * (_options.ByteFallback ? 3 : 1) + 1);
        int count = Symbols(piece, symbols);
        count = BpeMerger.Merge(symbols.AsSpan(0, count), _merges);
        for (int i = 0; i < count; i++) ids.Add(symbols[i]);
        ArrayPool<int>.Shared.Return(symbols);
    }

    private int Symbols(ReadOnlySpan<char> piece, int[] symbols)
    {
        int count = 0;
        bool pendingUnknown = false;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < piece.Length;)
        {
            int length = Utf16.RuneLength(piece, i);
            ReadOnlySpan<char> letter = piece.Slice(i, length);
            bool found = TryFindLetter(letter, isFirst: i == 0, isLast: i + length == piece.Length, out int id);
            i += length;
            if (found)
            {
                if (pendingUnknown) symbols[count++] = _unknownId;
                pendingUnknown = false;
                symbols[count++] = id;
                continue;
            }
            if (_options.ByteFallback)
            {
                int bytes = System.Text.Encoding.UTF8.GetBytes(letter, utf8);
                if (TryAppendBytes(utf8[..bytes], symbols, ref count)) continue;
            }
            if (_unknownId < 0) continue;
            if (pendingUnknown && !_options.FuseUnknown) symbols[count++] = _unknownId;
            pendingUnknown = true;
        }
        if (pendingUnknown) symbols[count++] = _unknownId;
        return count;
    }

    private bool TryFindLetter(ReadOnlySpan<char> letter, bool isFirst, bool isLast, out int id)
    {
        bool prefixed = !isFirst && _options.ContinuingSubwordPrefix.Length > 0;
        bool suffixed = isLast && _options.EndOfWordSuffix.Length > 0;
        if (!prefixed && !suffixed) return Vocabulary.TryGetId(letter, out id);
        return Vocabulary.TryGetId(
            string.Concat(prefixed ? _options.ContinuingSubwordPrefix : "", letter, suffixed ? _options.EndOfWordSuffix : ""), out id);
    }

    private bool TryAppendBytes(ReadOnlySpan<byte> utf8, int[] symbols, ref int count)
    {
        foreach (byte b in utf8)
        {
            if (_byteTokens[b] < 0) return false;
        }
        foreach (byte b in utf8) symbols[count++] = _byteTokens[b];
        return true;
    }

    // Whole-piece look-ups and affixes depend on where a piece ends, so such models are never cut.
    private SafeSplitter? BuildSplitter()
    {
        if (_options.IgnoreMerges || _options.MapsBytes || _options.ContinuingSubwordPrefix.Length > 0 || _options.EndOfWordSuffix.Length > 0)
            return null;
        return new SafeSplitter(Vocabulary.Entries.Select(entry => entry.Key));
    }

    private static int Require(Vocabulary vocabulary, string token, string key) => vocabulary.Find(token)
        ?? throw TokenizerException.For(key, token, "the merge names a token that is not in the vocabulary",
            "The vocabulary and the merges belong to different tokenizers, or the file is damaged; fetch both again.");
}
