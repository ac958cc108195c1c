using System.Globalization;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>Compares the tensors of a GGUF file with its metadata: surplus and missing blocks and tensors are refused by name, not left unread.</summary>
internal static class GgufStructure
{
    private const string Block = "blk.";
    private static readonly string[] RopeTensors = [GgufNames.RopeFactors, GgufNames.ShortFactors, GgufNames.LongFactors];

    /// <summary>Looks at a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="model">What its family makes of its metadata.</param>
    /// <returns>The tensors of the file that hold the model.</returns>
    /// <exception cref="CheckpointException">A block or tensor is missing or misshapen, or there are more blocks than the metadata say.</exception>
    /// <exception cref="UnsupportedModelException">A tensor has no place in the architecture.</exception>
    public static IReadOnlyList<GgufStored> Check(GgufFile file, Architecture model)
    {
        DecoderConfig config = model.Config;
        GgufForm form = model.Gguf!;
        string count = $"{form.Name}.block_count";
        if (config.Layers > file.Names.Count)
            throw new CheckpointException($"{file.Location}: {count} is {config.Layers}, and the file has {file.Names.Count} tensors; it is not whole. Download it again.");
        int[] blocks = [.. file.Names.Select(BlockOf).OfType<int>().Distinct().Order()];
        int extra = form.Architecture.Fields.Any(field => field.Key == "nextn_predict_layers") ? (int)(file.Metadata.FindInt64($"{form.Name}.nextn_predict_layers") ?? 0) : 0;
        if (blocks.Length > 0 && blocks[^1] >= config.Layers + extra)
            throw new CheckpointException(
                $"{file.Location}: the file holds {blocks.Length} blocks ('{Block}{blocks[^1]}' among them), " +
                $"and {count} is {config.Layers}; the two must agree. Convert the model again.");
        int missing = Enumerable.Range(0, config.Layers).Except(blocks).DefaultIfEmpty(-1).First();
        if (missing >= 0)
            throw new CheckpointException(
                $"{file.Location}: tensors of '{Block}{missing}' are absent: the file holds {blocks.Length} blocks, " +
                $"and {count} is {config.Layers}; download it again.");
        ModelLayout layout = model.Layout(_ => false);
        IReadOnlyList<GgufStored> placed = form.Place(layout, out IReadOnlyList<string> unplaced);
        if (unplaced.Count > 0)
            throw new UnsupportedModelException($"{file.Location}: the {form.Name} architecture has no place for '{unplaced[0]}', which its metadata ask for.");
        foreach (GgufStored tensor in placed)
        {
            if (!file.Contains(tensor.Name))
                throw new CheckpointException($"{file.Location}: tensor '{tensor.Name}' is absent; the file does not hold a whole model of its architecture.");
            CheckShape(file, tensor);
        }
        HashSet<string> known = [.. placed.Select(tensor => tensor.Name), .. RopeTensorsOf(form.Architecture)];
        // Old converters kept the rotary frequencies, which follow from the metadata and which llama.cpp does not read.
        if (file.Names.FirstOrDefault(name => !known.Contains(name) && !name.EndsWith("attn_rot_embd.weight", StringComparison.Ordinal) && !(BlockOf(name) >= config.Layers) && !form.Architecture.Unused.Any(end => name.EndsWith(end, StringComparison.Ordinal))) is { } other)
            throw new UnsupportedModelException(
                $"{file.Location}: tensor '{other}' has no place in the {form.Name} architecture, and llama.cpp refuses such a file; without it the model would be another.");
        return [.. placed, .. form.Numbers(layout).Select(numbers => Checked(file, numbers))];
    }

    private static GgufStored Checked(GgufFile file, GgufStored numbers)
    {
        float[] found = file.Metadata.FindSingles(numbers.Name)
            ?? throw new CheckpointException($"{file.Location}: '{numbers.Name}' is missing; every loader of this architecture needs it.");
        if (found.Length != numbers.Parts.Count)
            throw new CheckpointException($"{file.Location}: '{numbers.Name}' has {found.Length} numbers; {numbers.Parts.Count} blocks take one each.");
        int bad = Array.FindIndex(found, number => !float.IsFinite(number));
        return bad < 0 ? numbers : throw new CheckpointException($"{file.Location}: '{numbers.Name}' holds {found[bad]} at {bad}; it must be a finite number.");
    }

    private static string[] RopeTensorsOf(GgufArchitecture architecture) => architecture.RopeTensors switch
    {
        GgufRopeTensors.Divisors => RopeTensors[..1],
        GgufRopeTensors.ShortAndLong => RopeTensors[1..],
        _ => [],
    };

    // Converters differ in ones, which do not change where anything lies.
    private static void CheckShape(GgufFile file, GgufStored tensor)
    {
        IReadOnlyList<long> found = file.ShapeOf(tensor.Name);
        if (found.SequenceEqual(tensor.Shape) || found.Where(size => size != 1).SequenceEqual(tensor.Shape.Where(size => size != 1))) return;
        string why = tensor.Name == GgufNames.Head ? "an output head has that of the embedding, " : "the metadata ask for ";
        throw new CheckpointException($"{file.Location}: tensor '{tensor.Name}' has shape [{string.Join(", ", found)}]; {why}[{string.Join(", ", tensor.Shape)}].");
    }

    private static int? BlockOf(string name)
    {
        if (!name.StartsWith(Block, StringComparison.Ordinal)) return null;
        int end = name.IndexOf('.', Block.Length);
        ReadOnlySpan<char> number = end > 0 ? name.AsSpan(Block.Length, end - Block.Length) : "";
        return int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int block) ? block : null;
    }
}
