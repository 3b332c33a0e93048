"""Checkpoint files in torch.save's formats, written without PyTorch, and two that PyTorch wrote."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from tests.support.inputs.torch_state_dicts import Tensors
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network


class _Storage:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def _stand_ins() -> dict[str, types.ModuleType]:
    """Stand-ins for the classes of PyTorch and models.py that pickling needs."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils", "models")}

    def put(module: str, name: str, thing: Any) -> None:
        thing.__module__, thing.__qualname__ = module, name
        setattr(modules[module], name, thing)

    for kind in STORAGES.values():
        put("torch", kind, type(kind, (), {}))
    put("torch._utils", "_rebuild_tensor_v2", lambda *_: None)
    put("models", "Yolov4", type("Yolov4", (), {}))
    return modules


STORAGES = {
    "<f2": "HalfStorage",
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<i8": "LongStorage",
    "<c8": "ComplexFloatStorage",
}


TORCH = _stand_ins()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 2)
        self.storages: list[np.ndarray] = []

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, _Storage):
            return None
        keys = [key for key, array in enumerate(self.storages) if array is value.array]
        if not keys:
            keys = [len(self.storages)]
            self.storages.append(value.array)
        kind = getattr(TORCH["torch"], STORAGES[value.array.dtype.str])
        return "storage", kind, str(keys[0]), "cuda:0", value.array.size, None

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        base = value if value.base is None else value.base
        offset = (value.ctypes.data - base.ctypes.data) // value.itemsize
        strides = tuple(stride // value.itemsize for stride in value.strides)
        hooks: Any = OrderedDict()
        about = _Storage(base), offset, value.shape, strides, False, hooks
        return TORCH["torch._utils"]._rebuild_tensor_v2, about


def save(path: Path, content: Any, old: bool = False) -> Path:
    """torch.save(content, path) with arrays as tensors; `old`: the format before PyTorch 1.6."""
    pickler = _Pickler(pickled := io.BytesIO())
    with patch.dict(sys.modules, TORCH):
        pickler.dump(content)
    raw = {str(key): array.tobytes() for key, array in enumerate(pickler.storages)}
    if old:
        system = {"little_endian": True}
        head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
        keys = sorted(raw, reverse=True)
        body = [struct.pack("<q", pickler.storages[int(key)].size) + raw[key] for key in keys]
        path.write_bytes(b"".join([*head, pickled.getvalue(), pickle.dumps(keys, 2), *body]))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for key, data in raw.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return path


# One normalized 1x1 convolution of 2 filters on 3 channels, then a head of 8 filters on those 2.
TWO = Network(
    32,
    32,
    3,
    (
        Convolutional(2, 1),
        Convolutional(8, 1, batch_normalize=False, activation="linear"),
        Yolo(((1, 2),), 3),
    ),
)


SMALL: Tensors = {
    "models.0.conv1.weight": np.ones((2, 3, 1, 1), "<f4"),
    **{f"models.0.bn1.{name}": np.ones(2, "<f4") for name in ("weight", "bias")},
    **{f"models.0.bn1.running_{name}": np.ones(2, "<f4") for name in ("mean", "var")},
    "models.1.conv2.weight": np.ones((8, 2, 1, 1), "<f4"),
    "models.1.conv2.bias": np.ones(8, "<f4"),
}


# torch.save(state_dict) of TWO, its numbers counting up from 1; zlib, then base 85.
# PyTorch 1.12.1, _use_new_zipfile_serialization=False: the format of the published yolov4.pth.
BEFORE_1_6 = (
    b"c-nQ8IdIcV6vrjmaf}GT+zB5?xD^g#Nf0~V#}Nkzhd6>bW*bJx@=hdBq&#UA24*zlCNn_wl@t_|l$4Z|l$4Z|&{4t+"
    b"1y7P=oS<m@*X-Mse*fovZ`BcAitex1Ge5^3y`3Gcc7z+>3V4r!lSqZ*xP`!HzU8~dA`L>v_khO-$Oc?-9mZU0P_ONn"
    b"9th8gh?DH;0yRSC84aNjLs23FI2qc0z+gZVNC6|qV^GqHq?j;#Zw>~vVicjLg*Gm=7`lYwt)NW<+P>&mOayLR2VNrE"
    b"@Qr!DP2I3st6ILdC|93QXU=9ISj-PByJ|$taYNAvXe)Buw!x?u`hl^ih)|FuGMFTTPnvTSirFjTjO&~1PBtmR02#(-"
    b"CQm7<T5r^Ab+s-lP)hT*79vcwbdy2(w#G@CpcOP;;~A`zvQaV?U)V{q>lqB`uz_sp&$#9F@*TD@9lL1v*)`OLBG(hU"
    b"jrO1>piKpBG+_xgY5Wpw&cIt3Y}H{K*|Zwma?B96uYql->ICfQVn@2z(FD6Q!~Vlymkzth=xS^bd7k6V8S@ltyk{+Z"
    b"L!N-WUHn)Vzc0b>&+rEr9Ms_u8CeUzXa;aNpRTC&Nd=B{=~9<Ip3skG^kWQ;>u`dMt)_d?ywNh5Wz*1LfoVOaZK!50"
    b"-Qr)z{_EBL<Vs^zmX#XR(3nSK8I8xsGed=es>7-New5RGRF>;|I{&|@vVuD`fyfFX>uDR6v60f&X-L^98Bb<L|1$Vb"
    b"hco?cv}}~t`|KJv>O`Xk=g_8%Hs_NqD=)!RvSrN-Jk8*O4i}>sE|GQkD%O{oZIhWWldfNu2+neFC5Ef%saZb#*EBvP"
    b"rCvIq#c<tDC(C`i4>w}CnN1J>b!OpK471td(5i~T?HF`i5?0`3xD&(Ozi{21fO|3APZy)Gg<p{e$(JkV5c7FQO~^Ya"
    b"g}nAI=5^&jUdNR3YCf1(p)#!|TbW&*^LU%WAF6|TgZeNf^wz&%%r*bSl_tlH^~E)er~2Yqj2||6Zsk?!jTUgdgL;no"
    b"AN30L2K5&84)q@O0re5}3H2HE1@#s6y;<&YeqhW^b6gQsMh&4VsI91x>E9#Kk8="
)


# PyTorch 2.15.0.
ZIP = (
    b"c-o~_OKcle6n*~0aopfIX-hspn*Jwk>UjJaJN+ebiz!TLU6-N}8#A^Cd#F9mwVzXgWGNDg1UuN!c7wWL!H(|ef<;$|"
    b"B?t*vAW;b+!2*GhD#4EXW*m3snZ)2c`DjMtch0%<?z{I*R`z%a@%u^72$2b*Hi{K}U0W=vR1L4)tY*?d@|t68xQoSl"
    b"wW<}VUN@S7tBsP@&`KBeA`JkU&w)!&_M=#>Uec<~a3ox;8|z~DmZq006x>BxM~85}MfGYkkZ)*(mR>F8sb)0mjr@8v"
    b"03Jb5hEbr2Gu5&NUW*dQRO>3eZaoaZkmABQ5%4J<ycXA5Ff98h_^-)CklnIJcF8UZBZ76u?gQ^tSa^FVjOO4eWv@NP"
    b"g3*mISit})-il=)!dPWkc2fwUu<YK1aoM#A6PDCo3j1=fUm5463cA{aryW93n6!kZIzrP-XvPwHhQhNscutw-g&Hlx"
    b"(2a7wrl|(ZIs{{Iz!IG62p(jDhb+Ov6prNJs4}&k;JVs?V-CGI9Jlm@j@~@eJ7MXaq_B{KQ_38#XS8bhf=Y`Ot(m6{"
    b"wRlr2LD<smr0sIuD0j2AXj&y8f>xLk5v}IuEsH3HSPtU$y(5}?C%ToHgd<)FBoqlzNSZ14W75qurv&Sc-7i_vrzxDt"
    b"!C8CCx1`NXopT5$;XDfaDJ-*v@NdEjTZmOlDox=+4lcIZ@VqjDlQA<?Wwins^ZyqFg;f$<YQu}>E?(CfO{^1mNp>|A"
    b"UpD}d+i<yJKJ?qx6kcw_73*=Zr-tBa8?x4)qg)=~S{rism)jvH!u2-1(j(V-cev4pSIs|L%|bXU5BvXYeCPQV%ZVYo"
    b"ZI_rNN4s4j{6@V|Q)#~QmYMWHu37xc5Si6yzyI(KTWp5yt!7B_iB+c`<khNPHfowdGwE1=x85PeSpdto;8!<VxOWU-"
    b"oGf<(D7;0rI%{^B^qE0?w?<W`w5qWfHqZSu&9;PZ#~6a-yrU~GMl$Ksy9j`gjb)Tw!5?A+aS!oug++Aa=cQ@ZGp71P"
    b"wBU?L%%lbK-~At<A6aF7AOCjc1T*mW@jL7Ei)PX(GWh$4RtcFi{XhLXb$bB+*zWuz=)Yq6pTDg?9>71oJO3>Dzi#?}"
    b"@%eOR0RP19{H?+K^&byu1Nck3^IyaF-$1;Jcpq^GaS!nc;y&U5;vwQo#8-&#5swhRApS7d?ad39YAaR|?HIS$8Fw<1"
    b"X3zgZ9fEgWgdZ`A2qE?%rqWD*?f9O@?5v&JQGbja?&^0t@PU2{6ALhhuRki^=->ZlN%TnrHeaEsHFWI2Z>#L<FRzy}"
    b">G1!|L?jiJQc^sbj3uN<JdsQ$BN0&&<1r~FE~W4)E=dt7m1I$VbJrUbFb=_t(#3-9#%VvTLOqf5-?2Q~egI86n8&<i"
    b"yYr0~u^%Ec4v`P+B0VP;uVX(5#vM8nL!|cr;_3FT9dyt?93tG=!E@~$*vS=q99QJI_U`HA-r>1Xo@?)XPVUq&$Bpq^"
    b"d)MN8d2XEN+B**C>*u%$o@=jq&X?y(Jl9^)PHuLD<0g5oy;jE@-1|1}Hha`wLbJ}j6(D_zJ1hHq3tO$gbIR7(oY$tu"
    b"x;_YOwRRu-_9Z7f6RfYiA)mzwn)9u>{{Rw@IcE"
)
