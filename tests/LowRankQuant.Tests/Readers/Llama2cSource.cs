using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Readers;

/// <summary>A llama2.c file as a checkpoint of the product, so that the pipeline can run on it. It brings no tokenizer.</summary>
internal sealed class Llama2cSource(string path) : ICheckpoint
{
    private readonly Llama2cCheckpoint _model = Llama2cCheckpoint.Load(path);

    public string Location => path;

    public string Kind => "llama2.c file";

    public LowRankQuant.Models.Families.Architecture Architecture => ModelFamilies.Read(HuggingFaceConfig, path);

    public ModelLayout Layout => Architecture.Layout(_ => false);

    public ScaleType NativeScaleType => ScaleType.Float32;

    public long StoredBytes => new FileInfo(path).Length;

    public IReadOnlyCollection<string> TensorNames => [.. _model.Tensors.Keys];

    public JsonObject HuggingFaceConfig => JsonNode.Parse(_model.ConfigJson)!.AsObject();

    public bool Contains(string name) => _model.Tensors.ContainsKey(name);

    public IReadOnlyList<int> ShapeOf(string name) => Tensor(name).Shape;

    public void Read(string name, Span<float> destination) => Tensor(name).Values.CopyTo(destination);

    public QuantizedWeight? ReadQuantized(string name) => null;

    public long StoredBitsOf(string name) => 32L * ShapeOf(name).Aggregate(1, (product, size) => product * size);

    public void AppendContentHash(IncrementalHash hash)
    {
        foreach (NamedTensor tensor in _model.Tensors.Values) hash.AppendData(MemoryMarshal.AsBytes(tensor.Values.AsSpan()));
    }

    public ITokenizer LoadTokenizer() => throw new NotSupportedException("A llama2.c file has no tokenizer.");

    public string? ReadChatTemplate() => null;

    public void CopySideFiles(string folder)
    {
    }

    public PendingTensor Store(string name, SafetensorsType type) => this.Converted(name, type);

    public void Dispose()
    {
    }

    private NamedTensor Tensor(string name) =>
        _model.Tensors.TryGetValue(name, out NamedTensor? tensor) ? tensor : throw new CheckpointException($"{path}: tensor '{name}' is absent.");
}
