using System.Text.Json.Nodes;
using LowRankQuant.Formats;
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
    private const string Key = ConfigReader.TieKey;

    /// <summary>Looks at a folder.</summary>
    /// <param name="contents">Its tensors.</param>
    /// <param name="architecture">Names, and sizes that both matrices have.</param>
    /// <param name="json">config.json.</param>
    /// <exception cref="CheckpointException">A matrix is missing, or has another shape than the configuration asks for.</exception>
    public static OutputHeadChoice Of(FolderContents contents, Architecture architecture, JsonObject json)
    {
        string embedding = architecture.EmbeddingName, head = architecture.HeadName;
        bool? flag = SaysSo(json) ? architecture.Config.TiedEmbeddings : null;
        bool hasEmbedding = contents.Contains(embedding), hasHead = contents.Contains(head);
        if (hasEmbedding) CheckShape(contents, embedding, architecture);
        if (hasHead) CheckShape(contents, head, architecture);
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
                throw contents.Absent(embedding, architecture);
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
    /// <param name="json">config.json; changed where it says something else, by itself or by its family's default.</param>
    /// <param name="said">What it says.</param>
    public void Correct(JsonObject json, bool said)
    {
        if (said == Tied) return;
        json[Key] = Tied;
        foreach (JsonObject part in Parts(json).Where(part => part.ContainsKey(Key))) part[Key] = Tied;
    }

    private static bool SaysSo(JsonObject json) => json[Key] is not null || Parts(json).Any(part => part[Key] is not null);

    // A multimodal model says it of its text model here or there.
    private static List<JsonObject> Parts(JsonObject json) => [.. json.Select(pair => pair.Value).OfType<JsonObject>()];

    private static void CheckShape(FolderContents contents, string name, Architecture architecture)
    {
        int rows = architecture.Config.VocabularySize, columns = architecture.EmbeddingWidth ?? architecture.Config.HiddenSize;
        IReadOnlyList<int> shape = contents.ShapeOf(name);
        if (shape.SequenceEqual([rows, columns])) return;
        throw new CheckpointException(
            $"{contents.Location}: tensor '{name}' has shape [{string.Join(", ", shape)}]; " +
            $"the configuration asks for [{rows}, {columns}].");
    }
}
