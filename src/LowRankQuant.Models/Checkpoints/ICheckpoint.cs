using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// A model on disk, read one tensor at a time. Tensor names are those of Hugging Face checkpoints whatever the file is, and rows are in half-split
/// rotary order.
/// </summary>
public interface ICheckpoint : IDisposable
{
    /// <summary>The folder or file it was opened from.</summary>
    string Location { get; }

    /// <summary>What kind of source it is, for reports: <c>Hugging Face folder</c>, <c>GGUF file</c>.</summary>
    string Kind { get; }

    /// <summary>What the family makes of the configuration.</summary>
    Architecture Architecture { get; }

    /// <summary>All tensors of the model, and how they lie in the tensors of a folder.</summary>
    ModelLayout Layout { get; }

    /// <summary>Sizes and choices.</summary>
    DecoderConfig Config => Architecture.Config;

    /// <summary>The type in which scales are stored when the user names none: F16 for GGUF, else the type of the weights.</summary>
    ScaleType NativeScaleType { get; }

    /// <summary>Bytes of all model files.</summary>
    long StoredBytes { get; }

    /// <summary>All tensors of the model by name; a quantized linear is listed once, as its <c>.weight</c>.</summary>
    IReadOnlyCollection<string> TensorNames { get; }

    /// <summary>
    /// Tensors beside the model's that are not computed with, as they are stored: what a folder holds of other types or of other parts. None of them is in
    /// <see cref="TensorNames"/>.
    /// </summary>
    IReadOnlyList<PendingTensor> Carried => [];

    /// <summary>What the user should know about the source: where files and configuration disagree, what is carried over or left out. A sentence each.</summary>
    IReadOnlyList<string> Warnings => [];

    /// <summary>
    /// The name that a tensor or module of the model has in folders made from this checkpoint: the standard one, or for the text model of a multimodal source
    /// the source's own, so that the folder loads where the source does. <see cref="Carried"/> has such names already.
    /// </summary>
    /// <param name="name">Standard name, also of a tensor that only the folder has, such as the codes of a linear.</param>
    string WrittenName(string name) => name;

    /// <summary>Whether the tensor exists.</summary>
    bool Contains(string name);

    /// <summary>Sizes of a tensor, slowest first.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    IReadOnlyList<int> ShapeOf(string name);

    /// <summary>Reads a whole tensor as 32-bit floats, dequantized where it is stored in a quantized type.</summary>
    /// <exception cref="CheckpointException">The tensor is absent or <paramref name="destination"/> has another size.</exception>
    void Read(string name, Span<float> destination);

    /// <summary>Asks the system to have the bytes of a module's tensors at hand soon, those of what it contains included, and returns at once. Nothing where there is nobody to ask.</summary>
    /// <param name="module">Its standard name, such as <c>model.layers.3</c>.</param>
    void ReadAhead(string module)
    {
    }

    /// <summary>Gives memory that files which were read still take back to the system; they are read again where they are needed.</summary>
    void ReleasePages()
    {
    }

    /// <summary>
    /// Codes, scales and zero points of a linear weight that is stored on an integer grid we know, its columns in natural order; else null.
    /// </summary>
    QuantizedWeight? ReadQuantized(string name);

    /// <summary>As <see cref="ReadQuantized"/> for uniform grids, also where columns have an activation order; a low-rank branch is not part of it.</summary>
    OrderedWeight? ReadOrdered(string name) => ReadQuantized(name) is UniformWeight weight ? new OrderedWeight(weight, null) : null;

    /// <summary>Quantizers of activations or of the key-value cache that belong to the model; see <see cref="CausalModel.RunsQuantizers"/>. Null without.</summary>
    RuntimeQuantizers? Quantizers => null;

    /// <summary>Bits that a linear weight takes in the file, its scales, zero points and branch included.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    long StoredBitsOf(string name);

    /// <summary>Name of the block type in which a tensor is stored, such as <c>Q4_1</c>; null where its container has no such names.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    string? BlockTypeOf(string name) => null;

    /// <summary>About what rounding a linear weight to its codes lost, relative to it, by the widths of the codes' cells; null where it is floats, or that is not known.</summary>
    /// <exception cref="CheckpointException">The tensor is absent.</exception>
    double? RelativeLossOf(string name) => ReadQuantized(name) is { } weight ? StoredLoss.Of(weight) : null;

    /// <summary>Feeds the contents of the model's files, or of samples of them that any edit of weights would change, into a hash.</summary>
    void AppendContentHash(System.Security.Cryptography.IncrementalHash hash);

    /// <summary>config.json as it is, or as it would be for a file of another kind.</summary>
    System.Text.Json.Nodes.JsonObject HuggingFaceConfig { get; }

    /// <summary>Whether the model comes with a tokenizer, sound or not.</summary>
    bool HasTokenizer => true;

    /// <summary>Loads the tokenizer.</summary>
    /// <exception cref="TokenizerException">There is none, or it is unsound.</exception>
    ITokenizer LoadTokenizer();

    /// <summary>The text of the chat template; null when the model has none.</summary>
    string? ReadChatTemplate();

    /// <summary>All chat templates by name, <c>default</c> for that of <see cref="ReadChatTemplate"/>; empty when the model has none.</summary>
    IReadOnlyDictionary<string, string> ReadChatTemplates() => ReadChatTemplate() is { } text
        ? new Dictionary<string, string>(StringComparer.Ordinal) { [ChatTemplates.ChatTemplateFile.Default] = text }
        : new Dictionary<string, string>();

    /// <summary>Writes tokenizer, chat template, generation settings and licences of a result.</summary>
    /// <param name="folder">A folder that is moved to its place when it is complete: when the disk fills, a file stays in parts.</param>
    /// <exception cref="IOException">The disk is full, or a file cannot be read or written.</exception>
    void CopySideFiles(string folder);

    /// <summary>
    /// The type of a tensor that is stored in more digits than most of the model, such as a router or a correction in F32 among halves, and keeps them; null for others.
    /// </summary>
    SafetensorsType? OwnTypeOf(string name) => null;

    /// <summary>A tensor for a writer, as <paramref name="type"/>: its bytes as they are when it is stored so, else converted when its turn comes.</summary>
    PendingTensor Store(string name, SafetensorsType type);
}
