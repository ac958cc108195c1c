using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace LowRankQuant.Numerics.Kernels.OneDnn;

/// <summary>
/// oneDNN 2.x by its C interface, one thread a call: work is cut here and not there, so that results do not depend on the number of threads. Structures are opaque: the
/// library fills them, and they are passed by address alone.
/// </summary>
internal sealed unsafe class OneDnnLibrary
{
    /// <summary>Data types.</summary>
    public const int BFloat16 = 2, Float32 = 3, Int32 = 4, Int8 = 5, UInt8 = 6;

    /// <summary>Arguments of a matrix product.</summary>
    public const int Source = 1, Destination = 17, Weights = 33, Scratch = 80;

    /// <summary>Where a library is had, for messages.</summary>
    public const string InstallLine = "On Debian and Ubuntu: apt-get install libdnnl2; or name a oneDNN 2.x library by its path";

    private const int SupportedMajor = 2;
    private const int Cpu = 1, InOrder = 1, UserScratch = 1, ScratchDescriptor = 136;

    // Runtimes that threads can be taken from: none at all, or OpenMP told to use one.
    private const int Sequential = 1, OpenMp = 2;

    // More than the library's structures take (696 and 2800 bytes in 2.6).
    private const int DescriptorBytes = 4096, OperationBytes = 16384;

    private static readonly string[] UsualNames = ["libdnnl.so.2", "libdnnl.so", "dnnl", "libdnnl.2.dylib"];

    // More shapes than a model has; experts, to which any number of tokens comes, have more in the long run.
    private const int MostProducts = 4096;

    // Loaded once: what it hands out lives as long as the process.
    private static readonly ConcurrentDictionary<string, OneDnnLibrary> Loaded = new(StringComparer.Ordinal);

    [ThreadStatic]
    private static bool _oneThread;

    [ThreadStatic]
    private static Dictionary<OneDnnLibrary, nint>? _streams;

    private readonly ConcurrentDictionary<OneDnnShape, OneDnnProduct> _products = new();

    private readonly delegate* unmanaged[Cdecl]<nint*, nint, int, int> _streamCreate;
    private readonly delegate* unmanaged[Cdecl]<nint, int> _streamWait, _memoryDestroy, _primitiveDestroy, _descriptionDestroy, _attributesDestroy, _postOperationsDestroy;
    private readonly delegate* unmanaged[Cdecl]<void*, int, long*, int, long*, int> _initByStrides;
    private readonly delegate* unmanaged[Cdecl]<void*, void*, void*, void*, void*, int> _matmulInit;
    private readonly delegate* unmanaged[Cdecl]<nint*, void*, nint, nint, nint, int> _descriptionCreate;
    private readonly delegate* unmanaged[Cdecl]<nint, int, int, void*> _queryDescriptor;
    private readonly delegate* unmanaged[Cdecl]<void*, nuint> _size;
    private readonly delegate* unmanaged[Cdecl]<nint*, nint, int> _primitiveCreate;
    private readonly delegate* unmanaged[Cdecl]<nint*, void*, nint, void*, int> _memoryCreate;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, int, Argument*, int> _execute;
    private readonly delegate* unmanaged[Cdecl]<nint*, int> _attributesCreate, _postOperationsCreate;
    private readonly delegate* unmanaged[Cdecl]<nint, int, int> _setScratchMode;
    private readonly delegate* unmanaged[Cdecl]<nint, float, int> _appendSum;
    private readonly delegate* unmanaged[Cdecl]<nint, nint, int> _setPostOperations;
    private readonly delegate* unmanaged[Cdecl]<int, void> _setThreads;
    private readonly nint _engine;

    private OneDnnLibrary(string name, nint handle)
    {
        // Three numbers, an address, and the runtime of threads.
        int* version = ((delegate* unmanaged[Cdecl]<int*>)Get("dnnl_version"))();
        int runtime = version[(2 * sizeof(nint) / sizeof(int)) + (sizeof(nint) / sizeof(int))];
        if (version[0] != SupportedMajor) throw new DllNotFoundException($"is oneDNN {version[0]}.{version[1]}, and {SupportedMajor}.x is called");
        if (runtime is not (Sequential or OpenMp)) throw new DllNotFoundException("is built for another threading than OpenMP");
        if (runtime == OpenMp) _setThreads = (delegate* unmanaged[Cdecl]<int, void>)Get("omp_set_num_threads");
        _streamCreate = (delegate* unmanaged[Cdecl]<nint*, nint, int, int>)Get("dnnl_stream_create");
        _streamWait = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_stream_wait");
        _initByStrides = (delegate* unmanaged[Cdecl]<void*, int, long*, int, long*, int>)Get("dnnl_memory_desc_init_by_strides");
        _matmulInit = (delegate* unmanaged[Cdecl]<void*, void*, void*, void*, void*, int>)Get("dnnl_matmul_desc_init");
        _descriptionCreate = (delegate* unmanaged[Cdecl]<nint*, void*, nint, nint, nint, int>)Get("dnnl_primitive_desc_create");
        _descriptionDestroy = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_primitive_desc_destroy");
        _queryDescriptor = (delegate* unmanaged[Cdecl]<nint, int, int, void*>)Get("dnnl_primitive_desc_query_md");
        _size = (delegate* unmanaged[Cdecl]<void*, nuint>)Get("dnnl_memory_desc_get_size");
        _primitiveCreate = (delegate* unmanaged[Cdecl]<nint*, nint, int>)Get("dnnl_primitive_create");
        _primitiveDestroy = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_primitive_destroy");
        _memoryCreate = (delegate* unmanaged[Cdecl]<nint*, void*, nint, void*, int>)Get("dnnl_memory_create");
        _memoryDestroy = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_memory_destroy");
        _execute = (delegate* unmanaged[Cdecl]<nint, nint, int, Argument*, int>)Get("dnnl_primitive_execute");
        _attributesCreate = (delegate* unmanaged[Cdecl]<nint*, int>)Get("dnnl_primitive_attr_create");
        _attributesDestroy = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_primitive_attr_destroy");
        _setScratchMode = (delegate* unmanaged[Cdecl]<nint, int, int>)Get("dnnl_primitive_attr_set_scratchpad_mode");
        _postOperationsCreate = (delegate* unmanaged[Cdecl]<nint*, int>)Get("dnnl_post_ops_create");
        _postOperationsDestroy = (delegate* unmanaged[Cdecl]<nint, int>)Get("dnnl_post_ops_destroy");
        _appendSum = (delegate* unmanaged[Cdecl]<nint, float, int>)Get("dnnl_post_ops_append_sum");
        _setPostOperations = (delegate* unmanaged[Cdecl]<nint, nint, int>)Get("dnnl_primitive_attr_set_post_ops");
        UseOneThread();
        nint engine;
        Require(((delegate* unmanaged[Cdecl]<nint*, int, nuint, int>)Get("dnnl_engine_create"))(&engine, Cpu, 0), "an engine");
        _engine = engine;
        Instructions = (Isa)((delegate* unmanaged[Cdecl]<int>)Get("dnnl_get_effective_cpu_isa"))();
        Name = $"onednn {version[0]}.{version[1]}.{version[2]} {Text(Instructions)}";
        File = name;

        nint Get(string function) => NativeLibrary.TryGetExport(handle, function, out nint address) ? address : throw new DllNotFoundException($"has no function {function}");
    }

    /// <summary>Instructions that the library uses here; those of the stronger include the weaker's bits.</summary>
    [Flags]
    public enum Isa
    {
        /// <summary>AVX2.</summary>
        Avx2 = 0x7,

        /// <summary>AVX-512.</summary>
        Avx512 = 0x27,

        /// <summary>AVX-512 with 8-bit dot products.</summary>
        Vnni = 0x67,

        /// <summary>AVX-512 with bf16 dot products.</summary>
        BFloat16 = 0xe7,

        /// <summary>Tiles of bf16 and 8-bit numbers.</summary>
        Amx = 0x3e7,

        /// <summary>AVX2 with 8-bit dot products.</summary>
        Avx2Vnni = 0x407,
    }

    /// <summary>For reports: version and instructions.</summary>
    public string Name { get; }

    /// <summary>The name under which the library was found.</summary>
    public string File { get; }

    /// <summary>Instructions that it uses here.</summary>
    public Isa Instructions { get; }

    /// <summary>Whether bf16 products are faster than those of floats here.</summary>
    public bool HasHalf => Instructions.HasFlag(Isa.BFloat16);

    /// <summary>Loads the library.</summary>
    /// <param name="library">Path or name; null tries the usual names.</param>
    /// <exception cref="DllNotFoundException">None that can be used was found; the message names what was tried and how one is had.</exception>
    public static OneDnnLibrary Load(string? library)
    {
        string[] names = library is null ? UsualNames : [library];
        var tried = new List<string>(names.Length);
        foreach (string name in names)
        {
            // The handle is kept for the life of the process, as its threads may live on.
            if (!NativeLibrary.TryLoad(name, typeof(OneDnnLibrary).Assembly, null, out nint handle))
            {
                tried.Add($"'{name}' (not found)");
                continue;
            }
            try
            {
                return Loaded.GetOrAdd(name, (_, found) => new OneDnnLibrary(name, found), handle);
            }
            catch (DllNotFoundException failure)
            {
                tried.Add($"'{name}' ({failure.Message})");
            }
        }
        throw new DllNotFoundException($"No oneDNN library could be used; tried {string.Join(", ", tried)}. {InstallLine}, or use other kernels.");
    }

    /// <summary>A product c [m, n] (+)= a [m, k] b [k, n] of matrices that lie anyhow, for one thread; made once for a shape.</summary>
    /// <param name="shape">Sizes, types and steps.</param>
    public OneDnnProduct Product(OneDnnShape shape)
    {
        if (_products.TryGetValue(shape, out OneDnnProduct? known)) return known;
        // What is in use elsewhere lives on until it is not.
        if (_products.Count >= MostProducts) _products.Clear();
        return _products.GetOrAdd(shape, Create);
    }

    private OneDnnProduct Create(OneDnnShape shape)
    {
        UseOneThread();
        byte* source = stackalloc byte[DescriptorBytes], weights = stackalloc byte[DescriptorBytes], destination = stackalloc byte[DescriptorBytes];
        Describe(source, shape.SourceType, shape.M, shape.K, shape.SourceRow, shape.SourceColumn);
        Describe(weights, shape.WeightsType, shape.K, shape.N, shape.WeightsRow, shape.WeightsColumn);
        Describe(destination, shape.DestinationType, shape.M, shape.N, shape.DestinationRow, 1);
        byte* operation = stackalloc byte[OperationBytes];
        Require(_matmulInit(operation, source, weights, null, destination), "the description of a product");
        nint attributes, description, primitive;
        Require(_attributesCreate(&attributes), "attributes");
        Require(_setScratchMode(attributes, UserScratch), "scratch memory of ours");
        if (shape.Accumulate)
        {
            nint sum;
            Require(_postOperationsCreate(&sum), "a sum");
            Require(_appendSum(sum, 1), "a sum");
            Require(_setPostOperations(attributes, sum), "a sum");
            _postOperationsDestroy(sum);
        }
        int status = _descriptionCreate(&description, operation, attributes, _engine, 0);
        _attributesDestroy(attributes);
        Require(status, $"a product {shape}");
        void* scratch = _queryDescriptor(description, ScratchDescriptor, 0);
        long scratchBytes = scratch is null ? 0 : (long)_size(scratch);
        byte* bytes = stackalloc byte[DescriptorBytes];
        if (scratchBytes > 0) DescribeBytes(bytes, scratchBytes);
        status = _primitiveCreate(&primitive, description);
        _descriptionDestroy(description);
        Require(status, $"a product {shape}");
        return new OneDnnProduct(Keep(source), Keep(weights), Keep(destination), scratchBytes > 0 ? Keep(bytes) : [], scratchBytes, primitive, _primitiveDestroy);

        static byte[] Keep(byte* descriptor) => new Span<byte>(descriptor, DescriptorBytes).ToArray();
    }

    /// <summary>Computes a product on the calling thread.</summary>
    /// <param name="product">What <see cref="Product"/> gave.</param>
    /// <param name="a">First element of a.</param>
    /// <param name="b">First element of b.</param>
    /// <param name="c">First element of c.</param>
    /// <param name="scratch">As many bytes as the product asks for, aligned to 64; null where it asks for none.</param>
    public void Execute(OneDnnProduct product, void* a, void* b, void* c, void* scratch)
    {
        UseOneThread();
        nint stream = Stream();
        Argument* arguments = stackalloc Argument[4];
        int count = 0;
        arguments[count++] = new Argument { Place = Source, Memory = Memory(product.Source, a) };
        arguments[count++] = new Argument { Place = Weights, Memory = Memory(product.Weights, b) };
        arguments[count++] = new Argument { Place = Destination, Memory = Memory(product.Destination, c) };
        if (product.ScratchBytes > 0) arguments[count++] = new Argument { Place = Scratch, Memory = Memory(product.Scratch, scratch) };
        int status = _execute(product.Primitive, stream, count, arguments);
        if (status == 0) status = _streamWait(stream);
        for (int i = 0; i < count; i++) _memoryDestroy(arguments[i].Memory);
        GC.KeepAlive(product);
        Require(status, "the result of a product");
    }

    private nint Memory(byte[] descriptor, void* address)
    {
        nint memory;
        fixed (byte* fixedDescriptor = descriptor) Require(_memoryCreate(&memory, fixedDescriptor, _engine, address), "memory");
        return memory;
    }

    private nint Stream()
    {
        _streams ??= [];
        if (_streams.TryGetValue(this, out nint stream)) return stream;
        Require(_streamCreate(&stream, _engine, InOrder), "a stream");
        _streams.Add(this, stream);
        return stream;
    }

    private void Describe(byte* descriptor, int type, long rows, long columns, long rowStep, long columnStep)
    {
        long* sizes = stackalloc long[12], steps = stackalloc long[12];
        (sizes[0], sizes[1], steps[0], steps[1]) = (rows, columns, rowStep, columnStep);
        Require(_initByStrides(descriptor, 2, sizes, type, steps), "the description of a matrix");
    }

    private void DescribeBytes(byte* descriptor, long count)
    {
        long* sizes = stackalloc long[12], steps = stackalloc long[12];
        (sizes[0], steps[0]) = (count, 1);
        Require(_initByStrides(descriptor, 1, sizes, UInt8, steps), "the description of scratch memory");
    }

    // A setting of every thread by itself.
    private void UseOneThread()
    {
        if (_oneThread || _setThreads is null) return;
        _setThreads(1);
        _oneThread = true;
    }

    private static void Require(int status, string what)
    {
        if (status == 0) return;
        string reason = status switch { 1 => "out of memory", 2 => "invalid arguments", 3 => "not implemented", 5 => "runtime error", 6 => "not required", _ => $"status {status}" };
        throw status == 1 ? new InsufficientMemoryException($"oneDNN gives no memory for {what}.") : new InvalidOperationException($"oneDNN does not give {what}: {reason}.");
    }

    private static string Text(Isa isa) => isa switch
    {
        _ when isa.HasFlag(Isa.Amx) => "AMX",
        _ when isa.HasFlag(Isa.BFloat16) => "AVX-512 BF16",
        _ when isa.HasFlag(Isa.Vnni) => "AVX-512 VNNI",
        _ when isa.HasFlag(Isa.Avx512) => "AVX-512",
        _ when isa.HasFlag(Isa.Avx2Vnni) => "AVX2 VNNI",
        _ when isa.HasFlag(Isa.Avx2) => "AVX2",
        _ => "SSE",
    };

    private struct Argument
    {
        public int Place;
        public nint Memory;
    }
}
