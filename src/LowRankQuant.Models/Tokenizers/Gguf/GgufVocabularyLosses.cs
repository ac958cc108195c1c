using System.Text;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Pipeline;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>A part of a tokenizer that a GGUF vocabulary has no place for.</summary>
/// <param name="Description">The part by its key and value, and what becomes of it: the beginning of a sentence.</param>
/// <param name="IsMinor">Whether it shows in few texts only, where other converters lose it too; it is then told, and nothing is refused.</param>
public sealed record VocabularyLoss(string Description, bool IsMinor);

/// <summary>What llama.cpp does with a text is named by few keys; the rest of a tokenizer is looked for here.</summary>
internal static class GgufVocabularyLosses
{
    /// <summary>All of them, the gravest first; empty for a tokenizer that a GGUF vocabulary holds whole.</summary>
    public static IEnumerable<VocabularyLoss> Of(ITokenizer tokenizer) => tokenizer switch
    {
        PipelineTokenizer pipeline => OfPipeline(pipeline).Concat(OfAddedTokens(pipeline.Parts.Added, pipeline.Parts.Normalizer is not null)),
        SpmTokenizer spm => OfSettings(spm.Settings).Concat(OfAddedTokens(spm.Added, isNormalized: false)),
        _ => [],
    };

    private static IEnumerable<VocabularyLoss> OfPipeline(PipelineTokenizer tokenizer)
    {
        PipelineParts parts = tokenizer.Parts;
        if (parts.Model is not BpeModel model) yield break;
        BpeOptions options = model.Options;
        if (options.ContinuingSubwordPrefix.Length + options.EndOfWordSuffix.Length > 0)
            yield return Lost("model.continuing_subword_prefix, model.end_of_word_suffix", "which llama.cpp has no names for");
        if (options.MapsBytes)
        {
            foreach (Normalizer step in Steps(parts.Normalizer)) yield return Lost($"normalizer {NameOf(step)}", "and llama.cpp changes no text before it is cut");
            string? pre = GgufVocabularyExport.PreName(parts, model);
            if (pre is null)
                yield return Lost("pre_tokenizer", $"which no name in tokenizer.ggml.pre stands for ('{GgufPreTokenizer.Default}' takes its place)");
            else if (GgufPreTokenizer.Find(pre).Approximates is { } otherwise)
                yield return Minor("the expression of pre_tokenizer", $"and by '{pre}' llama.cpp cuts nearly as it does: {otherwise}");
        }
        else
        {
            foreach (Normalizer step in Steps(parts.Normalizer).Where(step => !IsMetaspace(step)))
                yield return Lost($"normalizer {NameOf(step)}", "and llama.cpp only replaces spaces by U+2581, with or without one in front");
            if (!GgufVocabularyExport.TryReadSpaces(parts, out _) && Steps(parts.Normalizer).All(IsMetaspace))
                yield return Lost("pre_tokenizer", "and llama.cpp cuts a text of this kind nowhere");
            if (parts.PreTokenizer is MetaspacePreTokenizer { Scheme: PrependScheme.First })
                yield return Minor("pre_tokenizer Metaspace, prepend_scheme first", "and llama.cpp puts a space in front of every text behind a special token");
            if (!options.ByteFallback && model.Vocabulary.ByteTokens().Contains(-1) == false)
                yield return Lost("model.byte_fallback false", "and llama.cpp spells unknown characters with byte tokens wherever a vocabulary has them");
        }
        if (parts.Prefix.Length > 1 || (parts.Prefix.Length == 1 && parts.Prefix[0] != parts.BosId))
            yield return Lost($"post_processor (ids {string.Join(", ", parts.Prefix)} in front of a text)", "and a GGUF vocabulary puts the begin token there or nothing");
        if (parts.Suffix.Length > 1 || (parts.Suffix.Length == 1 && parts.Suffix[0] != parts.EosId))
            yield return Lost($"post_processor (ids {string.Join(", ", parts.Suffix)} behind a text)", "and a GGUF vocabulary puts the end token there or nothing");
    }

    private static IEnumerable<VocabularyLoss> OfSettings(SpmSettings settings)
    {
        if (settings.RemoveExtraSpaces) yield return Lost("normalizer_spec.remove_extra_whitespaces", "and llama.cpp collapses no spaces");
        if (settings.SpaceAsSuffix) yield return Lost("trainer_spec.treat_whitespace_as_suffix", "and llama.cpp puts spaces in front of words");
        if (!settings.EscapeSpaces) yield return Lost("normalizer_spec.escape_whitespaces false", "and llama.cpp replaces spaces by U+2581");
        if (!settings.PrefixesEveryText) yield return Minor("tokenizer_config.json: legacy false", "and llama.cpp puts a space in front of every text behind a special token");
    }

    private static IEnumerable<VocabularyLoss> OfAddedTokens(AddedTokens added, bool isNormalized)
    {
        foreach ((string flag, string what, Func<AddedToken, bool> has) in new (string, string, Func<AddedToken, bool>)[]
        {
            ("lstrip", "takes the white space in front along", token => token.StripLeft),
            ("rstrip", "takes the white space behind along", token => token.StripRight),
            ("single_word", "counts between words only", token => token.SingleWord),
        })
        {
            if (Names(added, has) is { } tokens) yield return Lost($"{flag} of {tokens}", $"which {what}, and llama.cpp knows no such flag");
        }
        if (isNormalized && Names(added, token => token.Normalized) is { } normalized)
            yield return Minor($"normalized of {normalized}", "and llama.cpp finds tokens in the text as it stands");
    }

    private static string? Names(AddedTokens added, Func<AddedToken, bool> has)
    {
        AddedToken[] tokens = [.. added.All.Where(has).OrderBy(token => token.Id)];
        if (tokens.Length == 0) return null;
        return TokenizerException.Quote(tokens[0].Content) + (tokens.Length > 1 ? $" and {tokens.Length - 1} more added tokens" : "");
    }

    private static Normalizer[] Steps(Normalizer? normalizer) => normalizer switch
    {
        null => [],
        SequenceNormalizer sequence => [.. sequence.Parts.SelectMany(Steps)],
        _ => [normalizer],
    };

    private static bool IsMetaspace(Normalizer step) => step is PrependNormalizer { Prefix: "\u2581" } or ReplaceNormalizer { Pattern: " ", Content: "\u2581" };

    private static string NameOf(Normalizer step) => step switch
    {
        FormNormalizer { Form: var form } => form switch
        {
            NormalizationForm.FormC => "NFC",
            NormalizationForm.FormD => "NFD",
            NormalizationForm.FormKC => "NFKC",
            _ => "NFKD",
        },
        ReplaceNormalizer replace => $"Replace ({TokenizerException.Quote(replace.Pattern)} by {TokenizerException.Quote(replace.Content)})",
        PrependNormalizer prepend => $"Prepend ({TokenizerException.Quote(prepend.Prefix)})",
        LowercaseNormalizer => "Lowercase",
        StripNormalizer => "Strip",
        StripAccentsNormalizer => "StripAccents",
        ByteLevelNormalizer => "ByteLevel",
        _ => "",
    };

    private static VocabularyLoss Lost(string part, string why) => new($"tokenizer: a GGUF vocabulary has no place for {part}, {why}", false);

    private static VocabularyLoss Minor(string part, string why) => new($"tokenizer: a GGUF vocabulary has no place for {part}, {why}", true);
}
