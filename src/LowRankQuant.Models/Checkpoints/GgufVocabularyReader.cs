using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>The vocabulary in a GGUF file's metadata.</summary>
internal static class GgufVocabularyReader
{
    /// <summary>Reads it.</summary>
    /// <exception cref="CheckpointException">The file has none.</exception>
    public static GgufVocabulary Read(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        return new GgufVocabulary
        {
            Model = metadata.FindString("tokenizer.ggml.model")
                ?? throw new CheckpointException($"{file.Location}: 'tokenizer.ggml.model' is missing; the file has no vocabulary."),
            ModelName = metadata.FindString("general.name"),
            Pre = metadata.FindString("tokenizer.ggml.pre"),
            Tokens = metadata.FindStrings("tokenizer.ggml.tokens")
                ?? throw new CheckpointException($"{file.Location}: 'tokenizer.ggml.tokens' is missing; the file has no vocabulary."),
            Scores = metadata.FindSingles("tokenizer.ggml.scores"),
            TokenTypes = metadata.FindInt64s("tokenizer.ggml.token_type") is { } types ? [.. types.Select(type => (int)type)] : null,
            Merges = metadata.FindStrings("tokenizer.ggml.merges"),
            BosId = Id("bos_token_id"),
            EosId = Id("eos_token_id"),
            UnknownId = Id("unknown_token_id"),
            AddBos = metadata.FindBoolean("tokenizer.ggml.add_bos_token"),
            AddEos = metadata.FindBoolean("tokenizer.ggml.add_eos_token"),
            AddSpacePrefix = metadata.FindBoolean("tokenizer.ggml.add_space_prefix"),
        };

        int? Id(string key)
        {
            if (metadata.FindInt64($"tokenizer.ggml.{key}") is not { } id) return null;
            return id is >= 0 and <= int.MaxValue ? (int)id : throw new CheckpointException($"{file.Location}: 'tokenizer.ggml.{key}' is {id}; a token id is not negative and has 31 bits.");
        }
    }
}
