using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace LowRankQuant.LlamaCpp;

/// <summary>
/// llama.cpp v0.5.0 as the oracle of tests and benchmarks, from the npm package @node-llama-cpp/linux-x64 3.22.1. Never part of the product. Not thread
/// safe. A failed assertion inside it ends the process, so it is only given files that our own reader accepts.
/// </summary>
public sealed unsafe class LlamaEngine
{
    /// <summary>The npm package.</summary>
    public const string Package = "@node-llama-cpp/linux-x64";

    /// <summary>The version whose structs the offsets here belong to.</summary>
    public const string Version = "3.22.1";

    /// <summary>Names the folder of the libraries, or of node_modules; otherwise artifacts/npm/node_modules of the repository is looked at.</summary>
    public const string Variable = "LRQ_LLAMACPP";

    private const int Error = 4; // GGML_LOG_LEVEL_ERROR
    private const int MaxLog = 4096;

    // The engine logs through one callback for the whole process.
    private static readonly StringBuilder Log = new();

    private readonly nint _base;
    private readonly nint _llama;

    private LlamaEngine(string folder)
    {
        _base = NativeLibrary.Load(Path.Combine(folder, "libggml-base.so"));
        nint ggml = NativeLibrary.Load(Path.Combine(folder, "libggml.v0.5.0.so"));
        _llama = NativeLibrary.Load(Path.Combine(folder, "libllama.v0.5.0.so"));
        // A null callback would print to the terminal.
        ((delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<int, byte*, void*, void>, void*, void>)Llama("llama_log_set"))(&Record, null);
        fixed (byte* path = Utf8(folder))
            ((delegate* unmanaged[Cdecl]<byte*, void>)NativeLibrary.GetExport(ggml, "ggml_backend_load_all_from_path"))(path); // picks the build for this processor
        ((delegate* unmanaged[Cdecl]<void>)Llama("llama_backend_init"))();
    }

    /// <summary>The folder of the libraries, or null when they are not installed.</summary>
    /// <param name="repository">Root of the repository.</param>
    public static string? Find(string repository)
    {
        string? named = Environment.GetEnvironmentVariable(Variable);
        string start = string.IsNullOrEmpty(named) ? Path.Combine(repository, "artifacts", "npm", "node_modules") : named;
        string[] candidates = [start, Path.Combine(start, Package, "bins", "linux-x64")];
        return Array.Find(candidates, folder => File.Exists(Path.Combine(folder, "libllama.v0.5.0.so")));
    }

    /// <summary>Loads the libraries; once a process.</summary>
    /// <param name="folder">Their folder, as <see cref="Find"/> gives it.</param>
    public static LlamaEngine Load(string folder) => new(folder);

    /// <summary>Loads a model.</summary>
    /// <param name="path">A GGUF file.</param>
    /// <exception cref="InvalidDataException">The engine refuses the file; the message holds its reason.</exception>
    public LlamaModel Open(string path) => new(this, path);

    /// <summary>ggml's own values of blocks.</summary>
    /// <param name="type">Type as ggml names its functions, such as <c>q4_K</c>.</param>
    /// <param name="blocks">Whole blocks.</param>
    /// <param name="values">Receives their elements.</param>
    public void Dequantize(string type, ReadOnlySpan<byte> blocks, Span<float> values)
    {
        var function = (delegate* unmanaged[Cdecl]<byte*, float*, long, void>)NativeLibrary.GetExport(_base, $"dequantize_row_{type}");
        fixed (byte* from = blocks)
        fixed (float* to = values)
            function(from, to, values.Length);
    }

    /// <summary>Blocks as ggml's own quantizer makes them.</summary>
    /// <param name="type">Number of the type.</param>
    /// <param name="values">Whole rows.</param>
    /// <param name="columns">Length of a row.</param>
    /// <param name="importance">Weight of every column; types of few bits cannot do without.</param>
    /// <param name="blocks">Receives the blocks.</param>
    /// <exception cref="ArgumentException">The blocks do not fill <paramref name="blocks"/>.</exception>
    public void QuantizeRows(int type, ReadOnlySpan<float> values, int columns, ReadOnlySpan<float> importance, Span<byte> blocks)
    {
        var function = (delegate* unmanaged[Cdecl]<int, float*, byte*, long, long, long, float*, nuint>)NativeLibrary.GetExport(_base, "ggml_quantize_chunk");
        fixed (float* from = values, weights = importance)
        fixed (byte* to = blocks)
        {
            nuint written = function(type, from, to, 0, values.Length / columns, columns, weights);
            if (written != (nuint)blocks.Length) throw new ArgumentException($"The rows take {written} bytes, not {blocks.Length}.", nameof(blocks));
        }
    }

    /// <summary>The engine's own quantizer.</summary>
    /// <param name="source">A GGUF file of floats.</param>
    /// <param name="path">Destination.</param>
    /// <param name="fileType">llama_ftype: 2 Q4_0, 10 Q2_K, 12 Q3_K_M, ...</param>
    /// <param name="pure">All tensors of one type instead of the engine's mixture.</param>
    /// <param name="threads">Threads.</param>
    /// <param name="embeddingType">ggml type of the embedding and the output head; null leaves it to the engine.</param>
    /// <param name="importance">Mean square of every input of a tensor, by its name in the file, as llama-imatrix measures it; null for none.</param>
    /// <exception cref="InvalidDataException">The engine cannot do it; the message holds its reason.</exception>
    public void Quantize(
        string source, string path, int fileType, bool pure, int threads, int? embeddingType = null, IReadOnlyDictionary<string, float[]>? importance = null)
    {
        using var matrix = importance is null ? null : new ImportanceArray(importance);
        Parameters parameters = ((delegate* unmanaged[Cdecl]<Parameters>)Llama("llama_model_quantize_default_params"))();
        parameters.Set(0, threads);
        parameters.Set(4, fileType);
        if (embeddingType is { } type)
        {
            parameters.Set(8, type);
            parameters.Set(12, type);
        }
        parameters.Set(19, pure ? (byte)1 : (byte)0);
        if (matrix is not null) parameters.Set(24, matrix.Address);
        fixed (byte* from = Utf8(source), to = Utf8(path))
        {
            uint failed = ((delegate* unmanaged[Cdecl]<byte*, byte*, Parameters*, uint>)Llama("llama_model_quantize"))(from, to, &parameters);
            if (failed != 0) throw Refused(source);
        }
    }

    internal nint Llama(string name) => NativeLibrary.GetExport(_llama, name);

    internal static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text + '\0');

    internal static InvalidDataException Refused(string path)
    {
        lock (Log)
        {
            string reason = Log.ToString().Trim();
            Log.Clear();
            return new InvalidDataException($"llama.cpp refuses {path}: {reason}");
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Record(int level, byte* text, void* user)
    {
        if (level < Error) return;
        lock (Log)
        {
            if (Log.Length < MaxLog) Log.Append(Marshal.PtrToStringUTF8((nint)text));
        }
    }
}
