namespace LowRankQuant.Models.Tokenizers.Pipeline;

/// <summary>The parts of a tokenizer.json put together.</summary>
internal sealed record PipelineParts(ITokenModel Model, AddedTokens Added)
{
    internal Normalizer? Normalizer { get; init; }
    internal PreTokenizer? PreTokenizer { get; init; }
    internal TokenDecoder? Decoder { get; init; }
    internal int[] Prefix { get; init; } = [];
    internal int[] Suffix { get; init; } = [];
    internal int? BosId { get; init; }
    internal int? EosId { get; init; }
    internal IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>Added tokens, normalizer, pre-tokenizer, model, post-processor and decoder, in the order of the tokenizers library.</summary>
internal sealed class PipelineTokenizer(PipelineParts parts) : IPartTokenizer
{
    public int VocabularySize { get; } = Math.Max(parts.Model.Vocabulary.Size, parts.Added.All.Select(token => token.Id + 1).DefaultIfEmpty(0).Max());

    public int? BosId => parts.BosId;

    public int? EosId => parts.EosId;

    public IReadOnlyList<string> Warnings => parts.Warnings;

    public bool AddsBos { get; } = parts.Prefix.Length > 0 && parts.Prefix[0] == parts.BosId;

    internal PipelineParts Parts => parts;

    public int[] Encode(string text, bool addSpecialTokens) => Encode(text, addSpecialTokens, parseSpecialTokens: true);

    public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens) => Encode(text, addSpecialTokens, parseSpecialTokens, isRest: false);

    public int[] EncodeRest(string text) => Encode(text, addSpecialTokens: false, parseSpecialTokens: true, isRest: true);

    public bool MayCut(char before, char after)
    {
        var place = new CutPoint(before, after);
        return !char.IsSurrogate(before) && !char.IsSurrogate(after) && parts.Added.MayCut(place, normalized: false)
            && (parts.Normalizer?.MayCut(ref place) ?? true) && parts.Added.MayCut(place, normalized: true)
            && (parts.PreTokenizer?.MayCut(ref place) ?? true) && (place.IsParted || parts.Model.MayCut(place.Before, place.After));
    }

    private int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens, bool isRest)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = Utf16.ReplaceLoneSurrogates(text);
        List<int> ids = new(16 + text.Length / 4);
        if (addSpecialTokens) ids.AddRange(parts.Prefix);
        List<Segment> outer = [];
        List<Segment> inner = [];
        List<Piece> pieces = [];
        parts.Added.Split(text, normalized: false, parseSpecialTokens, outer);
        foreach (Segment segment in outer)
        {
            if (segment.Id >= 0)
            {
                ids.Add(segment.Id);
                continue;
            }
            string part = segment.Length == text.Length ? text : text.Substring(segment.Start, segment.Length);
            bool continues = isRest && segment.Start == 0;
            string normalized = parts.Normalizer is not { } normalizer ? part : continues ? normalizer.ApplyToRest(part) : normalizer.Apply(part);
            parts.Added.Split(normalized, normalized: true, parseSpecialTokens, inner);
            foreach (Segment innerSegment in inner)
            {
                if (innerSegment.Id >= 0) ids.Add(innerSegment.Id);
                else EncodePart(normalized, innerSegment, !isRest && segment.Start == 0 && innerSegment.Start == 0, pieces, ids);
            }
        }
        if (addSpecialTokens) ids.AddRange(parts.Suffix);
        return [.. ids];
    }

    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens)
    {
        List<string> tokens = new(ids.Length);
        foreach (int id in ids)
        {
            if (skipSpecialTokens && IsSpecial(id)) continue;
            if (TokenText(id) is { } text) tokens.Add(text);
        }
        if (parts.Decoder is null) return string.Join(' ', tokens);
        return string.Concat(parts.Decoder.Apply(tokens));
    }

    public int? TokenId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return parts.Added.Find(token) ?? parts.Model.Vocabulary.Find(token);
    }

    public string? TokenText(int id) => parts.Added.TryGet(id, out AddedToken added) ? added.Content : parts.Model.Vocabulary.Text(id);

    public bool IsSpecial(int id) => parts.Added.TryGet(id, out AddedToken added) && added.Special;

    private void EncodePart(string text, Segment segment, bool atStart, List<Piece> pieces, List<int> ids)
    {
        if (parts.PreTokenizer is null)
        {
            parts.Model.Tokenize(text.AsSpan(segment.Start, segment.Length), ids);
            return;
        }
        pieces.Clear();
        parts.PreTokenizer.Split(new Piece(text, segment.Start, segment.Length, atStart), pieces);
        foreach (Piece piece in pieces) parts.Model.Tokenize(piece.Span, ids);
    }
}
