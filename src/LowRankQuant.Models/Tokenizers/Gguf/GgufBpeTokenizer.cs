using System.Runtime.InteropServices;
using System.Text;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Pipeline;

namespace LowRankQuant.Models.Tokenizers.Gguf;

internal sealed record GgufBpeSettings(int? BosId, int? EosId, bool AddBos, bool AddEos);

/// <summary>Tokenizer of GGUF vocabularies of kind "gpt2".</summary>
internal sealed class GgufBpeTokenizer : IPartTokenizer
{
    private readonly BpeModel _model;
    private readonly TokenKind[] _kinds;
    private readonly PreTokenizer _preTokenizer;
    private readonly GgufBpeSettings _settings;
    private readonly SpecialTokenFinder _special;
    private readonly SpecialTokenFinder _userDefined;

    internal GgufBpeTokenizer(BpeModel model, TokenKind[] kinds, PreTokenizer preTokenizer, GgufBpeSettings settings)
    {
        _model = model;
        _kinds = kinds;
        _preTokenizer = preTokenizer;
        _settings = settings;
        _special = new SpecialTokenFinder(model.Vocabulary, kinds, kind => kind is TokenKind.Control or TokenKind.Unknown or TokenKind.UserDefined);
        _userDefined = new SpecialTokenFinder(model.Vocabulary, kinds, kind => kind == TokenKind.UserDefined);
    }

    public int VocabularySize => _kinds.Length;

    public int? BosId => _settings.BosId;

    public int? EosId => _settings.EosId;

    public bool AddsBos => _settings.AddBos;

    internal bool AddsEos => _settings.AddEos;

    public int[] Encode(string text, bool addSpecialTokens) => Encode(text, addSpecialTokens, parseSpecialTokens: true);

    public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = Utf16.ReplaceLoneSurrogates(text);
        List<int> ids = new(16 + text.Length / 4);
        List<Piece> pieces = [];
        if (addSpecialTokens && _settings.AddBos) ids.Add(_settings.BosId!.Value);
        foreach (Segment segment in (parseSpecialTokens ? _special : _userDefined).Split(text))
        {
            if (segment.Id >= 0)
            {
                ids.Add(segment.Id);
                continue;
            }
            pieces.Clear();
            _preTokenizer.Split(new Piece(text, segment.Start, segment.Length, AtStart: false), pieces);
            foreach (Piece piece in pieces) _model.Tokenize(piece.Span, ids);
        }
        if (addSpecialTokens && _settings.AddEos) ids.Add(_settings.EosId!.Value);
        return [.. ids];
    }

    // Nothing is put in front of a text.
    public int[] EncodeRest(string text) => Encode(text, addSpecialTokens: false);

    public bool MayCut(char before, char after)
    {
        var place = new CutPoint(before, after);
        return !char.IsSurrogate(before) && !char.IsSurrogate(after) && _special.MayCut(place) && _preTokenizer.MayCut(ref place)
            && (place.IsParted || _model.MayCut(place.Before, place.After));
    }

    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        List<byte> bytes = new(ids.Length * 4);
        foreach (int id in ids)
        {
            if (TokenText(id) is not { } text || (skipSpecialTokens && IsSpecial(id))) continue;
            if (_kinds[id] == TokenKind.Normal) ByteAlphabet.AppendBytes(text, bytes);
            else bytes.AddRange(Encoding.UTF8.GetBytes(text));
        }
        return Encoding.UTF8.GetString(CollectionsMarshal.AsSpan(bytes));
    }

    public int? TokenId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return _model.Vocabulary.Find(token);
    }

    public string? TokenText(int id) => _model.Vocabulary.Text(id);

    public bool IsSpecial(int id) => (uint)id < (uint)_kinds.Length && _kinds[id] is TokenKind.Control or TokenKind.Unknown;
}
