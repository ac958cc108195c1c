using System.Globalization;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Compares the tensors of a GGUF file with its metadata: surplus and missing blocks and tensors are refused by name, not left unread.</summary>
internal static class GgufStructure
{
    private const string Block = "blk.";

    /// <summary>Looks at a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="architecture">What its family makes of its metadata.</param>
    /// <param name="names">Hugging Face names of the tensors that are understood, with the stored ones.</param>
    /// <exception cref="CheckpointException">A block or tensor is missing, or there are more blocks than the metadata say.</exception>
    /// <exception cref="UnsupportedModelException">A tensor has no place in the architecture.</exception>
    public static void Check(GgufFile file, Architecture architecture, Dictionary<string, string> names)
    {
        DecoderConfig config = architecture.Config;
        if (config.Layers > file.Names.Count)
            throw new CheckpointException($"{file.Location}: llama.block_count is {config.Layers}, and the file has {file.Names.Count} tensors; it is not whole. Download it again.");
        int[] blocks = [.. file.Names.Select(BlockOf).OfType<int>().Distinct().Order()];
        if (blocks.Length > 0 && blocks[^1] >= config.Layers)
            throw new CheckpointException(
                $"{file.Location}: the file holds {blocks.Length} blocks ('{Block}{blocks[^1]}' among them), " +
                $"and llama.block_count is {config.Layers}; the two must agree. Convert the model again.");
        int missing = Enumerable.Range(0, config.Layers).Except(blocks).DefaultIfEmpty(-1).First();
        if (missing >= 0)
            throw new CheckpointException(
                $"{file.Location}: tensors of '{Block}{missing}' are absent: the file holds {blocks.Length} blocks, " +
                $"and llama.block_count is {config.Layers}; download it again.");
        foreach (string name in architecture.Layout(_ => false).Tensors.Select(tensor => tensor.Name).Where(name => !names.ContainsKey(name)))
        {
            string stored = GgufNames.All(config.Layers).First(pair => pair.HuggingFace == name).Gguf;
            throw new CheckpointException($"{file.Location}: tensor '{stored}' is absent; the file does not hold a whole model of its architecture.");
        }
        HashSet<string> known = [GgufNames.RopeFactors, .. names.Values.Where(name => !name.EndsWith("_norm.bias", StringComparison.Ordinal))];
        // Old converters kept the rotary frequencies, which follow from the metadata and which llama.cpp does not read.
        if (file.Names.FirstOrDefault(name => !known.Contains(name) && !name.EndsWith("attn_rot_embd.weight", StringComparison.Ordinal)) is { } other)
            throw new UnsupportedModelException(
                $"{file.Location}: tensor '{other}' has no place in the llama architecture, and llama.cpp refuses such a file; without it the model would be another.");
        if (names.TryGetValue(architecture.HeadName, out string? head) && !file.ShapeOf(head).SequenceEqual([config.VocabularySize, config.HiddenSize]))
            throw new CheckpointException(
                $"{file.Location}: tensor '{head}' has shape [{string.Join(", ", file.ShapeOf(head))}]; " +
                $"an output head has that of the embedding, [{config.VocabularySize}, {config.HiddenSize}].");
    }

    private static int? BlockOf(string name)
    {
        if (!name.StartsWith(Block, StringComparison.Ordinal)) return null;
        int end = name.IndexOf('.', Block.Length);
        ReadOnlySpan<char> number = end > 0 ? name.AsSpan(Block.Length, end - Block.Length) : "";
        return int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int block) ? block : null;
    }
}
