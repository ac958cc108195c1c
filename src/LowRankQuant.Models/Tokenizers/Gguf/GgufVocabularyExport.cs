using System.Globalization;
using LowRankQuant.Models.Tokenizers.Bpe;
using LowRankQuant.Models.Tokenizers.Patterns;
using LowRankQuant.Models.Tokenizers.Pipeline;
using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.Gguf;

/// <summary>
/// Writes tokenizers down as GGUF vocabularies. What such a vocabulary has no place for is named by <see cref="FindLosses"/>, and left out; whether that
/// may be is the caller's to decide.
/// </summary>
public static class GgufVocabularyExport
{
    // Below every score that a merge can give.
    private const float NeverMerged = -1e6f;
    private const string Metaspace = "\u2581";

    /// <summary>Converts a tokenizer.</summary>
    /// <param name="tokenizer">A tokenizer of this library: byte-level BPE, BPE with U+2581 for spaces, or a SentencePiece BPE model.</param>
    /// <param name="vocabularySize">Rows of the model's embedding, if more than tokens; the rest becomes unused tokens.</param>
    /// <returns>The vocabulary.</returns>
    /// <exception cref="TokenizerException">llama.cpp has no counterpart for a part of the tokenizer.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The size is below the number of tokens or absurd.</exception>
    public static GgufVocabulary FromTokenizer(ITokenizer tokenizer, int? vocabularySize = null) => FromTokenizer(tokenizer, vocabularySize, isLossy: false);

    /// <summary>What a GGUF vocabulary cannot hold of a tokenizer; empty when texts get the same ids from it.</summary>
    public static IReadOnlyList<VocabularyLoss> FindLosses(ITokenizer tokenizer) => [.. GgufVocabularyLosses.Of(tokenizer)];

    /// <summary>As <see cref="FromTokenizer(ITokenizer, int?)"/>.</summary>
    /// <param name="tokenizer">A tokenizer.</param>
    /// <param name="vocabularySize">Rows of the embedding.</param>
    /// <param name="isLossy">Leaves out parts without which another tokenizer results, and added tokens beyond the rows.</param>
    internal static GgufVocabulary FromTokenizer(ITokenizer tokenizer, int? vocabularySize, bool isLossy)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        int size = vocabularySize ?? tokenizer.VocabularySize;
        if (!isLossy) ArgumentOutOfRangeException.ThrowIfLessThan(size, tokenizer.VocabularySize, nameof(vocabularySize));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, Vocabulary.IdLimit, nameof(vocabularySize));
        return tokenizer switch
        {
            PipelineTokenizer { Parts.Model: BpeModel { Options.MapsBytes: true } model } pipeline => FromByteLevel(pipeline, model, size, isLossy),
            PipelineTokenizer { Parts.Model: BpeModel model } pipeline => FromMetaspace(pipeline, model, size, isLossy),
            SpmTokenizer { Model: SpmModel model } spm => FromSpm(spm, model, size, isLossy),
            _ => throw Inexpressible("model.type", tokenizer is PipelineTokenizer or SpmTokenizer ? "Unigram" : null, "only BPE vocabularies have a counterpart in GGUF here"),
        };
    }

    private static GgufVocabulary FromByteLevel(PipelineTokenizer tokenizer, BpeModel model, int size, bool isLossy)
    {
        string pre = PreName(tokenizer.Parts, model) ?? (isLossy ? GgufPreTokenizer.Default : null)
            ?? throw Inexpressible("pre_tokenizer", null, "llama.cpp has no name for this pre-tokenizer");
        (string[] tokens, int[] types) = Tokens(tokenizer, size);
        return Common(tokenizer, tokenizer.Parts.Suffix.Length > 0) with
        {
            Model = "gpt2",
            Pre = pre,
            Tokens = tokens,
            TokenTypes = types,
            Merges = [.. model.Merges.Sorted().Select(merge => $"{model.Vocabulary.Text(merge.Left)} {model.Vocabulary.Text(merge.Right)}")],
            AddSpacePrefix = false,
        };
    }

    private static GgufVocabulary FromMetaspace(PipelineTokenizer tokenizer, BpeModel model, int size, bool isLossy)
    {
        if (!TryReadSpaces(tokenizer.Parts, out bool addsPrefix) && !isLossy)
            throw Inexpressible("normalizer, pre_tokenizer", null, "llama.cpp only replaces spaces by U+2581, with or without one in front");
        (string[] tokens, int[] types) = Tokens(tokenizer, size);
        if (model.Options.UnknownToken is { } unknown) types[model.Vocabulary.Find(unknown)!.Value] = (int)TokenKind.Unknown;
        foreach (int id in model.Vocabulary.ByteTokens())
        {
            if (id >= 0) types[id] = (int)TokenKind.Byte;
        }
        float[] scores = new float[size];
        Array.Fill(scores, NeverMerged);
        foreach ((_, _, int rank, int id) in model.Merges.Sorted())
        {
            if (scores[id] == NeverMerged) scores[id] = -rank;
        }
        return Common(tokenizer, tokenizer.Parts.Suffix.Length > 0) with
        {
            Model = "llama",
            Pre = "default",
            Tokens = tokens,
            Scores = scores,
            TokenTypes = types,
            UnknownId = model.Options.UnknownToken is { } name ? model.Vocabulary.Find(name) : null,
            AddSpacePrefix = addsPrefix,
        };
    }

    private static GgufVocabulary FromSpm(SpmTokenizer tokenizer, SpmModel model, int size, bool isLossy)
    {
        if (!isLossy && (tokenizer.Settings.RemoveExtraSpaces || tokenizer.Settings.SpaceAsSuffix || !tokenizer.Settings.EscapeSpaces))
            throw Inexpressible("normalizer_spec", null, "llama.cpp neither collapses spaces nor puts them behind words");
        (string[] tokens, int[] types) = Tokens(tokenizer, size);
        float[] scores = new float[size];
        Array.Fill(scores, NeverMerged);
        for (int id = 0; id < model.Scores.Count; id++)
        {
            scores[id] = model.Scores[id];
            if (!tokenizer.Added.TryGet(id, out _)) types[id] = (int)tokenizer.Kinds[id];
            // The unknown token is one to llama.cpp by its kind.
            else if (tokenizer.Kinds[id] == TokenKind.Unknown) types[id] = (int)TokenKind.Unknown;
        }
        int unknown = Array.IndexOf(types, (int)TokenKind.Unknown);
        return Common(tokenizer, tokenizer.Settings.AddEos) with
        {
            Model = "llama",
            Pre = "default",
            Tokens = tokens,
            Scores = scores,
            TokenTypes = types,
            UnknownId = unknown >= 0 ? unknown : null,
            AddSpacePrefix = tokenizer.Settings.AddSpacePrefix,
        };
    }

    private static GgufVocabulary Common(ITokenizer tokenizer, bool addsEos) => new()
    {
        Model = "",
        Tokens = [],
        BosId = tokenizer.BosId,
        EosId = tokenizer.EosId,
        AddBos = tokenizer.AddsBos,
        AddEos = addsEos,
    };

    private static (string[] Tokens, int[] Types) Tokens(ITokenizer tokenizer, int size)
    {
        string[] tokens = new string[size];
        int[] types = new int[size];
        for (int id = 0; id < size; id++)
        {
            string? text = tokenizer.TokenText(id);
            tokens[id] = text ?? string.Create(CultureInfo.InvariantCulture, $"[PAD{id}]");
            bool added = (tokenizer as PipelineTokenizer)?.Parts.Added.TryGet(id, out _) ?? (tokenizer as SpmTokenizer)?.Added.TryGet(id, out _) ?? false;
            TokenKind kind = added ? TokenKind.UserDefined : TokenKind.Normal;
            types[id] = (int)(text is null ? TokenKind.Unused : tokenizer.IsSpecial(id) ? TokenKind.Control : kind);
        }
        return (tokens, types);
    }

    /// <summary>The name of what cuts texts into pieces; null if llama.cpp has none.</summary>
    internal static string? PreName(PipelineParts parts, BpeModel model)
    {
        PreTokenizer[] stages = parts.PreTokenizer is SequencePreTokenizer sequence ? sequence.Stages : parts.PreTokenizer is null ? [] : [parts.PreTokenizer];
        if (stages.Length == 0 || stages[^1] is not ByteLevelPreTokenizer { AddPrefixSpace: false } last) return null;
        SplitPreTokenizer[] splits = [.. stages.SkipLast(1).OfType<SplitPreTokenizer>()];
        if (splits.Length != stages.Length - 1 || splits.Any(split => !split.IsolatesMatches)) return null;
        bool ignoresMerges = model.Options.IgnoreMerges;
        if (PreName(stages, splits, last.UsesPattern, ignoresMerges) is { } name) return name;
        return PreName(stages, splits, last.UsesPattern, !ignoresMerges) is { } other && model.MergesReach(parts.Added) ? other : null;
    }

    private static string? PreName(PreTokenizer[] stages, SplitPreTokenizer[] splits, bool usesPattern, bool ignoresMerges)
    {
        if (!usesPattern && GgufPreTokenizer.NameOf([.. splits.Select(split => split.Pattern)], ignoresMerges) is { } name) return name;
        return (stages.Length, stages[0], usesPattern, ignoresMerges) switch
        {
            (1, _, true, false) => "gpt-2",
            (2, SplitPreTokenizer { Matcher: RunMatcher { IsSingleNumber: true } }, true, false) => "smollm",
            (2, SplitPreTokenizer { Matcher: Gpt2Matcher }, false, false) => "gpt-2",
            (2, SplitPreTokenizer { Matcher: Llama3Matcher { LongestNumber: 3 } }, false, true) => "llama-bpe",
            (2, SplitPreTokenizer { Matcher: Llama3Matcher { LongestNumber: 3 } }, false, false) => "dbrx",
            (2, SplitPreTokenizer { Matcher: Llama3Matcher { LongestNumber: 1 } }, false, false) => "qwen2",
            _ => null,
        };
    }

    internal static bool TryReadSpaces(PipelineParts parts, out bool addsPrefix)
    {
        addsPrefix = false;
        bool replaces = false;
        Normalizer[] steps = parts.Normalizer is SequenceNormalizer sequence ? sequence.Parts : parts.Normalizer is null ? [] : [parts.Normalizer];
        foreach (Normalizer normalizer in steps)
        {
            switch (normalizer)
            {
                case PrependNormalizer { Prefix: Metaspace }:
                    addsPrefix = true;
                    break;
                case ReplaceNormalizer { Pattern: " ", Content: Metaspace }:
                    replaces = true;
                    break;
                default:
                    return false;
            }
        }
        switch (parts.PreTokenizer)
        {
            case null:
            // Gemma splits at spaces after its normalizer has replaced them all: nothing happens.
            case SplitPreTokenizer { Matcher: LiteralMatcher { Pattern: " " } } when replaces:
                return replaces;
            case MetaspacePreTokenizer { Replacement: '\u2581', Splits: false } metaspace:
                addsPrefix |= metaspace.Scheme != PrependScheme.Never;
                return true;
            default:
                return false;
        }
    }

    private static TokenizerException Inexpressible(string key, string? value, string rule) =>
        TokenizerException.For(key, value, rule, "Export to another format than GGUF.");
}
