using System.Globalization;

namespace LowRankQuant.Models.Tokenizers;

/// <summary>What a token of a SentencePiece or GGUF vocabulary is; the numbers are those of both formats.</summary>
internal enum TokenKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>Token texts and ids, both ways.</summary>
internal sealed class Vocabulary
{
    /// <summary>Ids index arrays, so a file may not claim arbitrary ones. The largest vocabularies in use have about 260,000 tokens.</summary>
    internal const int IdLimit = 1 << 22;

    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private string?[] _texts;

    internal Vocabulary(int capacity)
    {
        _ids = new Dictionary<string, int>(capacity, StringComparer.Ordinal);
        _lookup = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        _texts = new string?[capacity];
    }

    /// <summary>One more than the highest id.</summary>
    internal int Size { get; private set; }

    internal int Count => _ids.Count;

    internal int LongestToken { get; private set; }

    internal IEnumerable<KeyValuePair<string, int>> Entries => _ids;

    /// <summary>Adds a token; refuses ids that are out of range or taken and texts that are already there.</summary>
    internal void Add(string text, long id, string key)
    {
        if (id < 0 || id >= IdLimit)
        {
            throw TokenizerException.For($"{key}[{TokenizerException.Quote(text)}]", id.ToString(CultureInfo.InvariantCulture),
                $"a token id must lie in 0..{IdLimit - 1}", "The file is damaged or not a vocabulary; fetch it again.");
        }
        if (!TryAdd(text, (int)id)) throw Duplicate(text, (int)id, key);
    }

    /// <summary>Like <see cref="Add"/> for formats in which an id may lack a text of its own: false when id or text are taken.</summary>
    internal bool TryAdd(string text, int id)
    {
        if (id < _texts.Length && _texts[id] is not null) return false;
        if (!_ids.TryAdd(text, id)) return false;
        if (id >= _texts.Length) Array.Resize(ref _texts, Math.Min(IdLimit, Math.Max(id + 1, _texts.Length * 2)));
        _texts[id] = text;
        Size = Math.Max(Size, id + 1);
        LongestToken = Math.Max(LongestToken, text.Length);
        return true;
    }

    internal bool TryGetId(ReadOnlySpan<char> text, out int id) => _lookup.TryGetValue(text, out id);

    internal int? Find(string text) => _ids.TryGetValue(text, out int id) ? id : null;

    internal string? Text(int id) => (uint)id < (uint)_texts.Length ? _texts[id] : null;

    /// <summary>Ids of the 256 byte tokens "&lt;0x00&gt;".."&lt;0xFF&gt;", -1 where absent.</summary>
    internal int[] ByteTokens()
    {
        int[] ids = new int[256];
        for (int b = 0; b < 256; b++)
            ids[b] = _ids.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"), out int id) ? id : -1;
        return ids;
    }

    private TokenizerException Duplicate(string text, int id, string key) => Text(id) is { } other
        ? TokenizerException.For($"{key}[{TokenizerException.Quote(text)}]", id.ToString(CultureInfo.InvariantCulture),
            $"the id already belongs to the token {TokenizerException.Quote(other)}", "Give every token an id of its own.")
        : TokenizerException.For($"{key}[{TokenizerException.Quote(text)}]", id.ToString(CultureInfo.InvariantCulture),
            $"the token already has the id {_ids[text]}", "Remove one of the two entries.");
}
