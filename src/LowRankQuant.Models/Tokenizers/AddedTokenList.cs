namespace LowRankQuant.Models.Tokenizers;

/// <summary>A token that is found in the text before the model sees it, as in added_tokens of tokenizer.json.</summary>
internal sealed record AddedToken(int Id, string Content)
{
    internal bool SingleWord { get; init; }
    internal bool StripLeft { get; init; }
    internal bool StripRight { get; init; }
    internal bool Normalized { get; init; }
    internal bool Special { get; init; }
}

/// <summary>
/// Puts the tokens that files beside a vocabulary add together with its own. An id has one text and a text one id, whichever file says so: what
/// contradicts that is refused, because the row of the embedding that is meant cannot be told.
/// </summary>
internal static class AddedTokenList
{
    /// <summary>All added tokens.</summary>
    /// <param name="own">Those of the vocabulary's own file; their flags count.</param>
    /// <param name="vocabulary">The vocabulary without added tokens.</param>
    /// <param name="config">What the files beside it say.</param>
    /// <param name="warnings">Receives where transformers would give another id.</param>
    /// <exception cref="TokenizerException">Two texts share an id, or a text has two.</exception>
    internal static List<AddedToken> Merge(IReadOnlyList<AddedToken> own, Vocabulary vocabulary, TokenizerConfig config, List<string> warnings)
    {
        List<AddedToken> tokens = [.. own];
        Dictionary<string, int> ids = own.ToDictionary(token => token.Content, token => token.Id, StringComparer.Ordinal);
        Dictionary<int, string> texts = own.ToDictionary(token => token.Id, token => token.Content);
        int end = Math.Max(vocabulary.Size, own.Select(token => token.Id + 1).DefaultIfEmpty(0).Max());
        foreach (AddedToken token in config.AddedTokens.Where(token => token.Content.Length > 0).OrderBy(token => token.Id))
        {
            string quoted = TokenizerException.Quote(token.Content);
            if (texts.GetValueOrDefault(token.Id, vocabulary.Text(token.Id) ?? token.Content) is var other && other != token.Content)
            {
                throw TokenizerException.For(
                    $"{config.Source}[{token.Id}]", token.Content, $"the id belongs to {TokenizerException.Quote(other)} in the vocabulary",
                    "The files belong to different tokenizers; fetch them again, or give every token an id of its own.");
            }
            int? known = ids.TryGetValue(token.Content, out int listed) ? listed : vocabulary.Find(token.Content);
            if (known is { } id && id != token.Id)
            {
                throw TokenizerException.For(
                    $"{config.Source}[{token.Id}]", token.Content, $"the token has the id {id} in the vocabulary",
                    "The files belong to different tokenizers; fetch them again, or use the same id in both places.");
            }
            if (!ids.TryAdd(token.Content, token.Id)) continue;
            texts[token.Id] = token.Content;
            tokens.Add(token);
            if (token.Id > end)
                warnings.Add($"{config.Source}: {quoted} has the id {token.Id}, and no token has the ids from {end} on before it; transformers' fast tokenizers give it the id {end}.");
            if (token.Id >= config.Rows) warnings.Add($"{config.Source}: {quoted} has the id {token.Id}, and the embedding {config.Rows} rows: the model cannot read a text that holds it.");
            end = Math.Max(end, token.Id + 1);
        }
        foreach (AddedToken token in config.SpecialTokens.Where(token => !ids.ContainsKey(token.Content)))
        {
            if (vocabulary.Find(token.Content) is null && !(end < config.Rows))
            {
                // Where the rows are not known, nobody asks for the tokens of a model.
                if (config.Rows is not null)
                {
                    warnings.Add($"tokenizer_config.json: the special token {TokenizerException.Quote(token.Content)} has no id, " +
                        "and the embedding no row for another one; it stays text.");
                }
                continue;
            }
            int id = vocabulary.Find(token.Content) ?? end++;
            ids.Add(token.Content, id);
            tokens.Add(token with { Id = id });
        }
        return tokens;
    }
}
