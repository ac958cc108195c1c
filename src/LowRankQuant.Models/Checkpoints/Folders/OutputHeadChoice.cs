using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Which matrix is the output head. The head that the files hold is the model's, whatever the configuration says; where they hold none it is the
/// embedding; one matrix under either name is both.
/// </summary>
/// <param name="Tied">Whether the head is the embedding.</param>
/// <param name="EmbeddingIsHead">Whether the one matrix is stored under the head's name.</param>
/// <param name="Warning">What the user should know; null when files and configuration agree.</param>
internal sealed record OutputHeadChoice(bool Tied, bool EmbeddingIsHead, string? Warning)
{
    private const string Key = "tie_word_embeddings";

    /// <summary>Looks at a folder.</summary>
    /// <param name="contents">Its tensors.</param>
    /// <param name="family">The architecture, for names.</param>
    /// <param name="config">Sizes that both matrices have.</param>
    /// <param name="json">config.json.</param>
    /// <exception cref="CheckpointException">A matrix is missing, or has another shape than the configuration asks for.</exception>
    public static OutputHeadChoice Of(FolderContents contents, IModelFamily family, DecoderConfig config, JsonObject json)
    {
        string embedding = family.EmbeddingName, head = family.HeadName;
        bool? flag = json[Key] is null ? null : config.TiedEmbeddings;
        bool hasEmbedding = contents.Contains(embedding), hasHead = contents.Contains(head);
        if (hasEmbedding) CheckShape(contents, embedding, config);
        if (hasHead) CheckShape(contents, head, config);
        switch (hasEmbedding, hasHead)
        {
            case (true, true) when flag == true && contents.Same(embedding, head):
                return new OutputHeadChoice(true, false, null);
            case (true, true):
                string? warning = flag == true
                    ? $"{Key} is true, but '{head}' is another matrix than '{embedding}'; the head of the file counts, and what is written says {Key}: false."
                    : null;
                return new OutputHeadChoice(false, false, warning);
            case (false, false):
                throw contents.Absent(embedding, family);
            default:
                string there = hasHead ? head : embedding, missing = hasHead ? embedding : head;
                if (flag == false)
                {
                    throw new CheckpointException(
                        $"{contents.Location}: tensor '{missing}' is absent, and {Key} is false; " +
                        $"if '{there}' is both embedding and head set {Key} to true in config.json, else download the model again.");
                }
                return new OutputHeadChoice(true, hasHead, null);
        }
    }

    /// <summary>Makes a configuration say what the files hold.</summary>
    /// <param name="json">config.json; changed where it says something else.</param>
    public void Correct(JsonObject json)
    {
        // Without the key transformers takes false.
        bool said = json[Key] is JsonValue value && value.TryGetValue(out bool flag) && flag;
        if (said != Tied) json[Key] = Tied;
    }

    private static void CheckShape(FolderContents contents, string name, DecoderConfig config)
    {
        IReadOnlyList<int> shape = contents.ShapeOf(name);
        if (shape.SequenceEqual([config.VocabularySize, config.HiddenSize])) return;
        throw new CheckpointException(
            $"{contents.Location}: tensor '{name}' has shape [{string.Join(", ", shape)}]; " +
            $"the configuration asks for [{config.VocabularySize}, {config.HiddenSize}].");
    }
}
