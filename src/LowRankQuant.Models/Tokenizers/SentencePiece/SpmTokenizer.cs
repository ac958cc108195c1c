using System.Runtime.InteropServices;
using System.Text;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.SentencePiece;

/// <summary>Settings of a tokenizer with U+2581 for spaces.</summary>
internal sealed record SpmSettings
{
    internal bool AddSpacePrefix { get; init; } = true;
    internal bool RemoveExtraSpaces { get; init; }
    internal bool EscapeSpaces { get; init; } = true;
    internal bool SpaceAsSuffix { get; init; }
    internal bool AddBos { get; init; }
    internal bool AddEos { get; init; }
    internal int? BosId { get; init; }
    internal int? EosId { get; init; }

    /// <summary>Drops white space after special tokens in the text (Phi-3).</summary>
    internal bool StripsAfterSpecial { get; init; }

    /// <summary>Puts the space in front of every text behind a special token, not only in front of the whole.</summary>
    internal bool PrefixesEveryText { get; init; } = true;

    internal IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Looks for user-defined tokens after spaces became U+2581 (SentencePiece) rather than before (GGUF).</summary>
    internal bool UserTokensInNormalizedText { get; init; }
}

/// <summary>Tokenizer of SentencePiece models and of GGUF vocabularies of kind "llama".</summary>
internal sealed class SpmTokenizer : IPartTokenizer
{
    private const char Space = '\u2581';
    private readonly ITokenModel _model;
    private readonly TokenKind[] _kinds;
    private readonly SpmSettings _settings;
    private readonly SpecialTokenFinder _special;
    private readonly SpecialTokenFinder _specialOff;
    private readonly TokenTrie _userTokens = new();
    private readonly TokenEdges _userEdges = new();

    /// <param name="model">The vocabulary and how it cuts.</param>
    /// <param name="kinds">Kinds of its tokens.</param>
    /// <param name="settings">What happens around it.</param>
    /// <param name="added">Tokens that files beside the model add, searched for before anything else happens to a text; their ids may lie beyond the model's.</param>
    internal SpmTokenizer(ITokenModel model, TokenKind[] kinds, SpmSettings settings, IReadOnlyList<AddedToken>? added = null)
    {
        // In the raw text, whatever the flag says: so does transformers without its fast tokenizer, and llama.cpp.
        Added = new AddedTokens([.. (added ?? []).Select(token => token with { Normalized = false })], normalizer: null);
        VocabularySize = Math.Max(kinds.Length, Added.All.Select(token => token.Id + 1).DefaultIfEmpty(0).Max());
        _model = model;
        _kinds = kinds;
        _settings = settings;
        bool InText(TokenKind kind) =>
            kind is TokenKind.Control or TokenKind.Unknown || (!settings.UserTokensInNormalizedText && kind == TokenKind.UserDefined);
        _special = new SpecialTokenFinder(model.Vocabulary, kinds, InText, settings.StripsAfterSpecial);
        _specialOff = new SpecialTokenFinder(
            model.Vocabulary, kinds, kind => kind == TokenKind.UserDefined && InText(kind), settings.StripsAfterSpecial);
        if (!settings.UserTokensInNormalizedText) return;
        foreach ((string text, int id) in model.Vocabulary.Entries)
        {
            if (kinds[id] != TokenKind.UserDefined) continue;
            _userTokens.Add(text, id);
            _userEdges.Add(text);
        }
    }

    public int VocabularySize { get; }

    public int? BosId => _settings.BosId;

    public int? EosId => _settings.EosId;

    public bool AddsBos => _settings.AddBos;

    public IReadOnlyList<string> Warnings => _settings.Warnings;

    internal AddedTokens Added { get; }

    internal SpmSettings Settings => _settings;

    internal ITokenModel Model => _model;

    internal IReadOnlyList<TokenKind> Kinds => _kinds;

    public int[] Encode(string text, bool addSpecialTokens) => Encode(text, addSpecialTokens, parseSpecialTokens: true);

    public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens) => Encode(text, addSpecialTokens, parseSpecialTokens, isRest: false);

    public int[] EncodeRest(string text) => Encode(text, addSpecialTokens: false, parseSpecialTokens: true, isRest: true);

    public bool MayCut(char before, char after)
    {
        // A space behind the text would be put behind every part; of several spaces only the first of the whole is kept.
        if ((_settings.AddSpacePrefix && _settings.SpaceAsSuffix) || (_settings.RemoveExtraSpaces && before == ' ')) return false;
        var place = new CutPoint(before, after);
        if (char.IsSurrogate(before) || char.IsSurrogate(after) || !Added.MayCut(place, normalized: false) || !_special.MayCut(place)) return false;
        if (_settings.EscapeSpaces) place = new CutPoint(before == ' ' ? Space : before, after == ' ' ? Space : after);
        return _userEdges.MayCut(place) && _model.MayCut(place.Before, place.After);
    }

    private int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens, bool isRest)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = Utf16.ReplaceLoneSurrogates(text);
        List<int> ids = new(16 + text.Length / 4);
        if (addSpecialTokens && _settings.AddBos && _settings.BosId is { } bos) ids.Add(bos);
        bool afterSpecial = !isRest;
        List<Segment> outer = [];
        Added.Split(text, normalized: false, parseSpecialTokens, outer);
        foreach (Segment segment in outer)
        {
            if (segment.Id >= 0) ids.Add(segment.Id);
            else EncodeText(text.Substring(segment.Start, segment.Length), parseSpecialTokens, afterSpecial, isRest && segment.Start == 0, ids);
            afterSpecial = _settings.PrefixesEveryText && segment.Id >= 0;
        }
        if (addSpecialTokens && _settings.AddEos && _settings.EosId is { } eos) ids.Add(eos);
        return [.. ids];
    }

    private void EncodeText(string text, bool parseSpecialTokens, bool afterSpecial, bool continues, List<int> ids)
    {
        foreach (Segment segment in (parseSpecialTokens ? _special : _specialOff).Split(text))
        {
            if (segment.Id >= 0) ids.Add(segment.Id);
            else EncodePart(Normalize(text.AsSpan(segment.Start, segment.Length), afterSpecial, continues && segment.Start == 0), ids);
            afterSpecial = _settings.PrefixesEveryText && segment.Id >= 0;
        }
    }

    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        List<byte> bytes = new(ids.Length * 4);
        foreach (int id in ids)
        {
            if (Added.TryGet(id, out AddedToken added))
            {
                if (!(added.Special && skipSpecialTokens)) bytes.AddRange(Encoding.UTF8.GetBytes(added.Content));
                continue;
            }
            if ((uint)id >= (uint)_kinds.Length || _model.Vocabulary.Text(id) is not { } text) continue;
            TokenKind kind = _kinds[id];
            if (kind is TokenKind.Control or TokenKind.Unknown)
            {
                if (!skipSpecialTokens) bytes.AddRange(Encoding.UTF8.GetBytes(text));
            }
            else if (kind == TokenKind.Byte && ByteFallbackDecoder.TryParseByte(text, out byte value))
            {
                bytes.Add(value);
            }
            else
            {
                bool escaped = _settings.EscapeSpaces && (kind != TokenKind.UserDefined || _settings.UserTokensInNormalizedText);
                bytes.AddRange(Encoding.UTF8.GetBytes(escaped ? text.Replace(Space, ' ') : text));
            }
        }
        ReadOnlySpan<byte> all = CollectionsMarshal.AsSpan(bytes);
        if (_settings.AddSpacePrefix && !_settings.SpaceAsSuffix && all.Length > 0 && all[0] == (byte)' ') all = all[1..];
        if (_settings.AddSpacePrefix && _settings.SpaceAsSuffix && all.Length > 0 && all[^1] == (byte)' ') all = all[..^1];
        return Encoding.UTF8.GetString(all);
    }

    public int? TokenId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return Added.Find(token) ?? _model.Vocabulary.Find(token);
    }

    public string? TokenText(int id) => Added.TryGet(id, out AddedToken added) ? added.Content : _model.Vocabulary.Text(id);

    public bool IsSpecial(int id) => Added.TryGet(id, out AddedToken added) ? added.Special
        : (uint)id < (uint)_kinds.Length && _kinds[id] is TokenKind.Control or TokenKind.Unknown;

    private string Normalize(ReadOnlySpan<char> text, bool atStart, bool continues)
    {
        StringBuilder result = new(text.Length + 1);
        if (_settings.RemoveExtraSpaces)
        {
            bool afterSpace = !continues;
            foreach (char c in text.TrimEnd(' '))
            {
                if (c != ' ' || !afterSpace) result.Append(c);
                afterSpace = c == ' ';
            }
            if (result.Length == 0) return "";
        }
        else
        {
            result.Append(text);
        }
        if (_settings.AddSpacePrefix && atStart) result.Insert(_settings.SpaceAsSuffix ? result.Length : 0, " ");
        if (_settings.EscapeSpaces) result.Replace(' ', Space);
        return result.ToString();
    }

    private void EncodePart(string text, List<int> ids)
    {
        int done = 0;
        while (!_userTokens.IsEmpty && _userTokens.TryFind(text, done, out int start, out int length, out int id))
        {
            _model.Tokenize(text.AsSpan(done, start - done), ids);
            ids.Add(id);
            done = start + length;
        }
        _model.Tokenize(text.AsSpan(done), ids);
    }
}
